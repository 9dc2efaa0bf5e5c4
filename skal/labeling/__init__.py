"""A page on which people label the rows of a campaign, served on their own machine.

`security` decides who may do what; `worker` asks for rows and fits the model in the
background; `page` says what is shown and records what is sent; `app` joins them by
HTTP. Starlette and uvicorn are imported when an app is made.
"""

from skal.labeling.app import LabelingApp, check_options, make_app, serve

__all__ = ["LabelingApp", "check_options", "make_app", "serve"]
