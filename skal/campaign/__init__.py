"""Labeling campaigns that last: what was asked and answered is kept in a database.

`ledger` derives the state of each row from the events; `database` stores them; `pool`
and `hashing` tell whether the rows are still the same; `labels` says what may be a
label; `picking` fits the model and picks; `watching` asks the stopping rule and tests
the model; `batch` and `files` write and read files; and `campaign` joins them.
SQLAlchemy is imported when a campaign is made or opened.
"""

from skal.campaign.batch import Batch
from skal.campaign.campaign import Campaign
from skal.campaign.files import LabelReport
from skal.campaign.status import CampaignStatus, Findings

__all__ = ["Batch", "Campaign", "CampaignStatus", "Findings", "LabelReport"]
