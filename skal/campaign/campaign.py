"""A labeling campaign whose state is in a database."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from time import time
from typing import Any

import numpy as np
import pandas as pd

from skal.campaign import history
from skal.campaign.asking import Asker, watch_of
from skal.campaign.database import Database
from skal.campaign.drawn import drawn_errors
from skal.campaign.explaining import explain_batch
from skal.campaign.labels import Labels
from skal.campaign.ledger import RULES, Event
from skal.campaign.pool import CampaignPool
from skal.campaign.recording import as_items
from skal.campaign.starting import (
    check_parts,
    check_task,
    classes_in,
    labels_of,
    name_ids,
    rows_of,
    task_of,
)
from skal.campaign.watching import default_loss, error_at
from skal.evaluation import RiskEstimate
from skal.learners.training import rows_to_read
from skal.rng import resolve_rng, seed_from
from skal.rows import take_rows
from skal.stopping import StoppingRule
from skal.validation import check_int, check_option, check_positive, check_share

__all__ = ["Campaign"]


class Campaign(Asker):
    """Ask which rows to label, now; record the labels later, from anywhere.

    The state is in a database, so that a campaign survives the end of the process at
    any moment, and several processes can work on it. Make one by `create`, and continue
    it by `open`.

    Attributes
    ----------
    ids : list
        Of the rows, in the order of the campaign.
    labels : Labels
        The task, and the classes.
    target : str
        Name of the label in files.
    n_answers : int
    rule : str
    test_share : float
    notes : object

    Notes
    -----
    A row is in the pool; or *asked*, reserved for an annotator; or *answered*; or
    *skipped* by somebody, and asked of others; or "cannot", which nobody is asked
    again. The database holds the ids, a hash of each row, and a list of events, to
    which each call adds in one transaction. It does not hold the rows, the model or the
    strategy, and nothing in it is unpickled: they are passed to `open`.

    The model is fitted on the labels, and every ``random_state`` that is not an int is
    set from the seed of the campaign and from its events, so that the next batch
    follows from the database, the rows, the model and the strategy (`replay`).

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import BayesianRidge
    >>> from skal.campaign import Campaign
    >>> from skal.strategies import LCMD
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> path = os.path.join(tempfile.mkdtemp(), "diabetes.db")
    >>> parts = {"model": BayesianRidge(), "strategy": LCMD()}
    >>> campaign = Campaign.create(path, X, random_state=0, **parts)
    >>> batch = campaign.ask(20)
    >>> report = campaign.tell(batch.ids, y[batch.ids])
    >>> campaign = Campaign.open(path, X, **parts)  # in another process
    >>> len(campaign.ask(10)), campaign.status().states["answered"]
    (10, 20)
    """

    # -- creating and opening ---------------------------------------------------------

    @classmethod
    def create(
        cls,
        url: Any,
        X_pool: Any,
        *,
        model: Any,
        strategy: Any = None,
        ids: Any = None,
        y: Any = None,
        task: str | None = None,
        classes: Any = None,
        target: str = "label",
        id_name: str | None = None,
        display: Any = None,
        initial: Any = None,
        n_initial: int = 10,
        n_answers: int = 1,
        rule: str | None = None,
        test_share: float = 0.0,
        stop: StoppingRule | None = None,
        random_state: Any = None,
        notes: Any = None,
        wait: float = 30.0,
    ) -> Campaign:
        """Start a campaign.

        Parameters
        ----------
        url : str or path
            A file of SQLite, which must not hold a campaign yet, or a URL of
            SQLAlchemy, such as ``"postgresql+psycopg://user@host/database"``.
        X_pool : rows of shape (m, ...)
        model : estimator
        strategy : query strategy, optional
            That of `skal.recommended_strategy` by default.
        ids : sequence of length m, optional
            Unique when written as text. By default the index of a DataFrame, otherwise
            the positions, which are as good as the order of the rows.
        y : array-like of shape (m,), optional
            Labels that are known already, missing elsewhere. A Series is matched by its
            index, if that holds the ids or is that of `X_pool`.
        task : {"classification", "regression"}, optional
            By default that of the model.
        classes : sequence of str, int, float or bool, optional
            The labels that may occur; by default those in `y`.
        target : str, default="label"
            Name of the label in files.
        id_name : str, optional
            Name of the id in files; by default that of the index of a DataFrame, or
            ``"id"``.
        display : DataFrame of shape (m, k), optional
            The rows as they are written to files, if `X_pool` is not what an annotator
            reads.
        initial : query strategy, default=Random()
            Picks rows while there are fewer than `n_initial` labels, or of one class
            only.
        n_initial : int, default=10
        n_answers : int, default=1
            Answers that each row needs, from different annotators.
        rule : {"first", "majority", "mean"}, optional
            The label of a row whose annotators disagree; the mean for regression, the
            majority (or among equals the first) for classification.
        test_share : float, default=0.0
            Share of the rows, below 1, that are held out for testing. They are drawn at
            random now, a tenth by ``0.1``; `ask` includes them in this proportion, and
            the model is never fitted on them (`test_error`). Rows with a label in `y`
            are not among them.
        stop : StoppingRule, optional
            Says when to stop (`stop_reason`). `ask` shows it the model of each batch,
            and warns. It counts all labels, those for testing included; as scores, it
            gets that of the model on the rows held out. It is not stored: pass it to
            `open`, too.
        random_state : int, numpy RandomState or Generator, optional
            A seed is drawn from it and stored; None draws a new one.
        notes : object, optional
            Anything that JSON can hold; kept as the attribute `notes`.
        wait : float, default=30
            Seconds to wait while another process writes.

        Raises
        ------
        FileExistsError
            If there is a campaign already.
        ValueError
            If an argument does not fit the others, such as a strategy for another task.
        CampaignDatabaseError
            If the database cannot be written.
        """
        check_parts(model, strategy, initial)
        if model is None:
            raise TypeError("model must be an estimator, such as Ridge(), got None.")
        task = task_of(model) if task is None else task
        check_int("n_initial", n_initial)
        check_int("n_answers", n_answers)
        check_positive("wait", wait)
        check_share("test_share", test_share)
        if test_share == 1:
            raise ValueError("test_share must be below 1, or nothing is left to train.")
        if classes is None and y is not None and task == "classification":
            classes = classes_in(y)
        if isinstance(classes, set | frozenset):
            classes = sorted(classes, key=str)
        labels = Labels(task, as_items([] if classes is None else classes))
        rule = rule or ("mean" if task == "regression" else "majority")
        check_option("rule", rule, list(RULES))
        if rule == "mean" and task == "classification":
            raise ValueError("Classes have no mean: rule is 'first' or 'majority'.")
        parts = {"model": model, "strategy": strategy, "initial": initial, "stop": stop}
        watch_of(stop, test_share)
        check_task(strategy, task)
        pool = CampaignPool(X_pool, ids, display)
        meta = {
            # A letter first: programs for tables would read "9948179e-1" as a number.
            "uid": f"c{uuid.uuid4().hex[:7]}",
            "task": task,
            "classes": labels.classes,
            "target": target,
            "id_name": name_ids(pool, id_name, target),
            "n_answers": int(n_answers),
            "rule": rule,
            "n_initial": int(n_initial),
            "seed": seed_from(resolve_rng(random_state)),
            "columns": pool.column_hashes(),
            "notes": notes,
        }
        start = [] if y is None else labels.from_start(labels_of(pool, y))
        answered = [k for k, value in enumerate(start) if value is not None]
        if test_share:
            before = [pool.texts[k] for k in answered]
            meta |= {"test_share": float(test_share), "labeled_before": before}
        events = [
            Event(seq, time(), "answer", k, "start", start[k])
            for seq, k in enumerate(answered, start=1)
        ]
        database = Database(url, wait)
        database.create(meta, rows_of(pool), events)
        return cls(database, meta, pool, pool.texts, parts)

    @classmethod
    def open(
        cls,
        url: Any,
        X_pool: Any = None,
        *,
        model: Any = None,
        strategy: Any = None,
        ids: Any = None,
        display: Any = None,
        initial: Any = None,
        stop: StoppingRule | None = None,
        append: bool = False,
        wait: float = 30.0,
    ) -> Campaign:
        """Continue a campaign.

        Parameters
        ----------
        url : str or path
            As in `create`.
        X_pool : rows of shape (m, ...), optional
            The same rows, in any order if they have ids. Without them, labels can be
            told, but not asked for.
        model, strategy, initial, stop, ids, display
            As in `create`; they may differ from those before.
        append : bool, default=False
            Whether `X_pool` may hold further rows, which are added to the campaign.
        wait : float, default=30
            Seconds to wait while another process writes.

        Raises
        ------
        FileNotFoundError
            If there is no campaign.
        PoolChangedError
            If the rows differ from those of the campaign. The message says which.
        CampaignDatabaseError
            If the database is damaged, or of a later version of skal.
        """
        check_positive("wait", wait)
        check_parts(model, strategy, initial)
        database = Database(url, wait)
        database.open()
        with database.reading() as connection:
            meta = database.meta(connection)
            texts, hashes = database.rows(connection)
        check_task(strategy, meta["task"])
        pool = None
        if X_pool is not None:
            pool, missing = CampaignPool(X_pool, ids, display).ordered(texts)
            pool.check_same(texts, hashes, meta["columns"], missing, append)
            if len(pool.texts) > len(texts):
                new = rows_of(pool)[len(texts) :]
                with database.writing() as connection:
                    if len(database.rows(connection)[0]) != len(texts):
                        raise ValueError(
                            "Another process has added rows at the same time: open the "
                            "campaign again."
                        )
                    database.add_rows(connection, new)
                    database.set_meta(connection, {"columns": pool.column_hashes()})
                texts = pool.texts
        parts = {"model": model, "strategy": strategy, "initial": initial, "stop": stop}
        return cls(database, meta, pool, texts, parts)

    def reopen(self, *, stop: StoppingRule | None = None) -> Campaign:
        """Open the same campaign once more, for another thread.

        Two threads must not use one object. The rows are shared, and not checked again.

        Parameters
        ----------
        stop : StoppingRule, optional
            In place of that of the campaign.
        """
        with self._database.reading() as connection:
            meta = self._database.meta(connection)
        parts = self._parts if stop is None else {**self._parts, "stop": stop}
        return Campaign(self._database, meta, self._pool, list(self._positions), parts)

    # -- the model --------------------------------------------------------------------

    def fit(self) -> Any:
        """Fit a copy of the model on the labels so far.

        Returns
        -------
        model : estimator
            Fitted; of the same labels, it is fitted only once.

        Raises
        ------
        ValueError
            If there are no labels, or labels of one class only.
        """
        self._sync()
        self._need_pool("fit")
        positions, y = self._labeled(self._ledger)
        if not len(y):
            raise ValueError("There are no labels yet: call ask, and then tell.")
        if self.labels.task == "classification" and len(np.unique(y)) < 2:
            raise ValueError(
                f"All {len(y)} labels are {y.tolist()[0]!r}: label other rows."
            )
        pool: Any = self._pool
        X = take_rows(pool.X, positions)
        return self._picker.fit(X, y, self._ledger.label_seq).estimator

    def predict(self, X: Any = None) -> Any:
        """Predict by the model that is fitted on the labels so far.

        Parameters
        ----------
        X : rows, optional
            All rows of the campaign by default.

        Returns
        -------
        predictions : ndarray of shape (n,), or Series by id
        """
        model = self.fit()
        if X is not None:
            return model.predict(X)
        pool: Any = self._pool
        predicted = model.predict(rows_to_read(pool.X, model))
        index = self._index()[: len(predicted)]
        return pd.Series(predicted, index=index, name=self.target)

    def explain(self, batch: Any) -> pd.DataFrame:
        """Tabulate why the rows of a batch were picked.

        Parameters
        ----------
        batch : Batch or sequence of ids
            From `ask`, or any rows.

        Returns
        -------
        table : DataFrame of shape (n, ...), by id
            ``rank`` in the batch and, of a `Batch`, ``score``; and by the model of now
            ``prediction``, ``uncertainty``, ``distance`` and ``nearest_labeled`` as in
            `skal.strategies.QueryStrategy.explain`, if there are enough labels to fit
            it. Do not show annotators the prediction, which could bias them.

        Raises
        ------
        KeyError
            If an id is unknown.

        Notes
        -----
        A fit, unless the labels are those of the last one.
        """
        self._sync()
        self._need_pool("explain")
        return explain_batch(self, batch)

    def test_error(
        self, loss: str | Callable[..., Any] | None = None, *, confidence: float = 0.95
    ) -> RiskEstimate:
        """Estimate the error of the model from the rows held out for testing.

        Parameters
        ----------
        loss : str or callable, optional
            As in `skal.evaluation.row_losses`; by default "zero_one" (the share of
            wrong classes) or "absolute".
        confidence : float, default=0.95
            Confidence level of the interval.

        Returns
        -------
        error : skal.evaluation.RiskEstimate
            Of the model of `fit`, with an interval as in `skal.evaluation.mean_loss`.

        Raises
        ------
        ValueError
            If no rows are held out, or none of them has a label, or as in `fit`.

        Notes
        -----
        The rows were drawn uniformly before the strategy picked, so that the error is
        that on the rows without a label at the start. It is not if annotators skip rows
        that are difficult, or label held-out rows of their own choice. A model that was
        chosen by this error is worse than it says.
        """
        self._sync()
        self._need_pool("test_error")
        if not len(self._labeled(self._ledger, test=True)[1]):
            raise ValueError(
                "No row that is held out for testing has a label yet. They are held "
                "out by Campaign.create(..., test_share=0.1), and asked by ask."
            )
        loss = default_loss(self.labels.task) if loss is None else loss
        error = error_at(self, self._ledger, self.fit(), loss, confidence)
        assert error is not None  # there are labels
        return error

    def drawn_errors(
        self, loss: str | Callable[..., Any] | None = None, *, confidence: float = 0.95
    ) -> pd.DataFrame:
        r"""Estimate the error of past models from the rows drawn by them.

        Parameters
        ----------
        loss : str or callable, optional
            As in `test_error`.
        confidence : float, default=0.95
            Confidence level of the intervals.

        Returns
        -------
        errors : DataFrame
            A line for each batch whose rows were drawn with known probabilities:
            ``batch``; ``n_labels`` by which the model was fitted; ``n_pool``, the rows
            it could draw from; ``n_missing``, the rows drawn that have no label; and
            ``risk``, ``std_error``, ``low``, ``high`` and ``n`` as in
            `skal.evaluation.lure`, NaN while labels are missing.

        Raises
        ------
        ValueError
            If there is no such batch.

        Notes
        -----
        `Random`, `Stochastic`, `PowerBALD` and `Mixture` know the probability of each
        pick, and a campaign stores it. When a batch is drawn, its model has not seen
        the labels of the rows, so their losses, weighted as in `skal.evaluation.lure`,
        estimate without bias its mean loss over the rows drawn from. No labels are
        spent on testing.

        It is the error of the models by which batches were picked: of that of now,
        nothing is known but by rows to come, since it was fitted on all others. A batch
        of which a row was skipped says nothing, as rows without a label may be the
        difficult ones; nor does one during which others were asked for, or labeled,
        rows that it could have drawn, since its picks would have been drawn again if
        they had been among these. Intervals are too narrow where a few rows with small
        probabilities carry most of the loss. A fit for each batch.
        """
        self._sync()
        self._need_pool("drawn_errors")
        loss = default_loss(self.labels.task) if loss is None else loss
        return drawn_errors(self, loss, confidence)

    def stop_reason(self) -> str | None:
        """Say why the stopping rule would stop now.

        Returns
        -------
        reason : str or None
            None if it would not, or if there are too few labels to fit the model.

        Raises
        ------
        ValueError
            If no rule was passed as `stop` to `create` or `open`.

        Notes
        -----
        The rule has seen the model of each batch, and now that of the labels so far.
        This follows from the database, the rows and the model. A new process fits as
        many of the last models again as the rule looks at, such as 4 for
        `StablePredictions` and none for `Budget`.
        """
        if self._watch is None:
            raise ValueError(
                "There is no stopping rule: pass one of skal.stopping as stop= to "
                "Campaign.create or Campaign.open."
            )
        self._sync()
        self._need_pool("stop_reason")
        return self._watch.reason(self, self._ledger.seq)

    def learning_curve(
        self,
        X_test: Any = None,
        y_test: Any = None,
        *,
        scoring: Any = None,
        cv: int = 5,
    ) -> pd.DataFrame:
        """Score the model by the labels that there were before each batch, and now.

        Parameters
        ----------
        X_test, y_test : rows and labels, optional
            Drawn at random, and not labeled in the campaign. Without them, those held
            out by `test_share` are taken if at least two have a label; otherwise the
            labeled rows are scored by cross-validation, with a warning.
        scoring : str or callable, optional
            As in scikit-learn; the score of the model by default.
        cv : int, default=5
            Number of folds without test rows.

        Returns
        -------
        curve : DataFrame
            Columns ``n_labels`` and ``score``, and ``std`` between the folds without
            test rows. A fit for each line, or `cv` more.
        """
        self._need_pool("learning_curve")
        if (X_test is None) != (y_test is None):
            raise ValueError("Pass X_test and y_test together.")
        if X_test is None and self._held_out.share:
            self._sync()
            positions, labels = self._labeled(self._ledger, test=True)
            if len(labels) >= 2:
                pool: Any = self._pool
                X_test, y_test = take_rows(pool.X, positions), labels
        return history.learning_curve(self, X_test, y_test, scoring, cv)

    def replay(self) -> pd.DataFrame:
        """Pick all batches again, from the events before each of them.

        Returns
        -------
        batches : DataFrame
            ``n_picked`` rows were picked in a batch, of which ``n_same`` are picked
            again; ``same`` if all are, in the same order. Otherwise look at
            ``same_settings``: whether the model, the strategy and the version of skal
            are those of then. A fit for each batch.
        """
        self._need_pool("replay")
        return history.replay(self)
