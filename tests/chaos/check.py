"""What must hold when everything has come to rest, by set algebra over what was answered and what is stored."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.chaos.exchanges import WORD, Exchanges
from tests.chaos.load import Load

MAX_TRIES = 5
_SHOWN = 5


class Database(Protocol):
    """What can be read."""

    #: The statement that finds the ids of exchanges by a `{word}`.
    searchable: str

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""


@dataclass
class Report:
    """What was found; `violations` is empty when every promise was kept."""

    acked: int = 0
    stored: int = 0
    lost: int = 0
    doubled_rows: int = 0
    doubled_scores: int = 0
    evaluated: int = 0
    parked: int = 0
    pending: int = 0
    violations: list[str] = field(default_factory=list)

    def demand(self, what: str, wrong: Collection[Any]) -> int:
        """Take down what is wrong, if anything is, and return how many."""
        if wrong:
            self.violations.append(f"{what}: {len(wrong)}, e.g. {sorted(map(str, wrong))[:_SHOWN]}")
        return len(wrong)


def check(database: Database, exchanges: Exchanges, load: Load, tries: dict[str, int]) -> Report:
    """Compare. tries: how often each poison was worked on."""
    ids = _Ids(database, exchanges)
    report = Report(acked=len(load.acked), stored=len(ids.numbers))
    for finding, times in Counter(load.findings).items():
        report.violations.append(f"{finding} ({times} times)")
    report.lost = report.demand("acknowledged but not stored", load.acked - set(ids.numbers.values()))
    report.demand("stored but never sent", set(ids.numbers.values()) - {n for r in load.requests for n in r.numbers})
    torn = [r for r in load.requests if 0 < sum(n in ids.by_number for n in r.numbers) < len(r.numbers)]
    report.demand("batches stored in part", torn)
    _check_rows(report, ids)
    _check_account(report, database, exchanges)
    _check_scores(report, ids, exchanges)
    _check_poison(report, ids, exchanges, tries)
    return report


class _Ids:
    """The rows of a run's exchanges, table by table."""

    def __init__(self, database: Database, exchanges: Exchanges) -> None:
        prefix = f"{exchanges.run}-"
        rows = database.query(f"SELECT id, request_id FROM exchange WHERE request_id LIKE '{prefix}%'")
        self._database = database
        self.rows = rows
        #: Number of the exchange, by its id.
        self.numbers = {row[0]: int(row[1].removeprefix(prefix)) for row in rows}
        self.by_number = {number: exchange_id for exchange_id, number in self.numbers.items()}

    def of(self, table: str) -> Counter[int]:
        """Return how many rows of a table each of the run's exchanges has."""
        return Counter(row[0] for row in self.read(f"SELECT exchange_id FROM {table}"))

    def searchable(self) -> Counter[int]:
        """Return how often each exchange is in the search index."""
        return Counter(row[0] for row in self.read(self._database.searchable.format(word=WORD)))

    def read(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement whose first column is an exchange's id; return the rows of this run."""
        return [row for row in self._database.query(statement) if row[0] in self.numbers]

    def evaluators(self) -> dict[str, int]:
        """Return the ids of the evaluators, by name."""
        return {row[0]: row[1] for row in self._database.query("SELECT name, id FROM evaluator")}


def _check_rows(report: Report, ids: _Ids) -> None:
    stored = set(ids.numbers)
    finished, failed, pending = ids.of("finished"), ids.of("failure"), ids.of("pending")
    log, payload, search = ids.of("log"), ids.of("payload"), ids.searchable()
    report.evaluated, report.parked, report.pending = len(finished), len(failed), len(pending)
    doubled = [request_id for request_id, times in Counter(row[1] for row in ids.rows).items() if times > 1]
    report.doubled_rows += report.demand("stored twice", doubled)
    for name, rows in (("log", log), ("payload", payload), ("search", search), ("finished", finished)):
        report.doubled_rows += report.demand(f"doubled in {name}", [i for i, times in rows.items() if times > 1])
    report.demand("without payload", stored - set(payload))
    report.demand("still pending", pending)
    states = finished + failed + pending
    report.demand("in no state (accepted is not evaluated + failed + pending)", stored - set(states))
    report.demand("in two states", [i for i, times in states.items() if times > 1])
    report.demand("evaluated without log", set(finished) - set(log))
    report.demand("logged but not in the search", set(log) ^ set(search))


def _check_account(report: Report, database: Database, exchanges: Exchanges) -> None:
    """Compare the product's own account with the rows that it stands for."""
    project = f"(SELECT min(project_id) FROM exchange WHERE request_id LIKE '{exchanges.run}-%')"
    [(accepted, evaluated, stored, finished)] = database.query(
        f"""SELECT (SELECT sum(accepted) FROM tally WHERE project_id = {project}),
                   (SELECT sum(evaluated) FROM tally WHERE project_id = {project}),
                   (SELECT count(*) FROM exchange WHERE project_id = {project}),
                   (SELECT count(*) FROM finished f JOIN exchange e ON e.id = f.exchange_id
                     WHERE e.project_id = {project})"""
    )
    counts = [("accepted", accepted, stored), ("evaluated", evaluated, finished)]
    report.demand("the account differs", [f"{name}: {said}, not {is_}" for name, said, is_ in counts if said != is_])


def _check_scores(report: Report, ids: _Ids, exchanges: Exchanges) -> None:
    evaluators = ids.evaluators()
    rows = ids.read("SELECT exchange_id, evaluator_id, version FROM score")
    scores = Counter((row[0], row[1]) for row in rows)
    report.doubled_scores = report.demand("scored twice", [pair for pair, times in scores.items() if times > 1])
    wanted = {
        (exchange_id, evaluator_id)
        for exchange_id in ids.of("finished")
        for evaluator_id in exchanges.scored_by(ids.numbers[exchange_id], evaluators)
    }
    report.demand("scores missing", wanted - set(scores))
    report.demand("scores too many", set(scores) - wanted)


def _check_poison(report: Report, ids: _Ids, exchanges: Exchanges, tries: dict[str, int]) -> None:
    parked = {ids.numbers[exchange_id] for exchange_id in ids.of("failure")}
    stored = set(ids.by_number)
    poisons = {number for number in exchanges.poisons if number in stored}
    report.demand("parked though well", parked - poisons)
    report.demand("poison not parked", poisons - parked)
    report.demand("poison tried too often", [name for name, times in tries.items() if times > MAX_TRIES])
