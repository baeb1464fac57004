"""The cap, as a state machine over one journal that several jobs share, whatever is billed.

BUDGET_STEPS=10000 in the environment takes more steps.
"""

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from jz3.distillation.classify import Ended, classify
from jz3.distillation.endpoint import Teacher
from jz3.distillation.journal import Busy, OverBudget, TeacherJournal, request_key
from test_classify import reply

BUDGET = 3_000_000  # nano-dollars; a worst case is some 0.3 million
TEACHER = Teacher(
    base_url="", model="gpt-x", api_key="", temperature=0.6, max_tokens=100, input_price=1.0,
    output_price=1.0, budget=0.0, cached_price=0.25,
)  # fmt: skip
COUNTS = st.integers(-(10**15), 10**15) | st.integers(0, 400) | st.none() | st.floats()


class Account(RuleBasedStateMachine):
    """Jobs begin, are answered, refused, cut off and killed; servers count what they like."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name, "j")
        self.jobs = [TeacherJournal(self.path) for _ in range(2)]
        self.sent = {}  # charge: (job, number of the request, worst case)
        self.answered = set()
        self.known = 0  # what the charges must come to

    def teardown(self):
        for job in self.jobs:
            job.close()
        self.folder.cleanup()

    def body(self, number):
        return TEACHER.body(f"r{number}", f"prompt {number}", [])

    @rule(job=st.integers(0, 1), number=st.integers(0, 30))
    def begin(self, job, number):
        body = self.body(number)
        key, worst = request_key(body), TEACHER.worst_case(body)
        mine = [n for j, n, _ in self.sent.values() if j == job]
        if number in mine:  # one job does not ask twice
            return
        others = [n for j, n, _ in self.sent.values() if j != job]
        error = None
        try:
            found = self.jobs[job].begin(key, worst, BUDGET, 100)
        except Busy:
            assert number in others
        except OverBudget as refused:
            error = refused
            assert self.known + worst > BUDGET
        else:
            if number in self.answered:
                assert not isinstance(found, int)
                return
            assert number not in others
            self.known += worst
            assert self.known <= BUDGET
            self.sent[found] = (job, number, worst)
        if error:
            assert error.shared == bool(others)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), prompt=COUNTS, written=COUNTS, cached=COUNTS)
    def end_with_an_answer(self, data, prompt, written, cached):
        charge = data.draw(st.sampled_from(sorted(self.sent)))
        job, number, worst = self.sent.pop(charge)
        body = self.body(number)
        usage = {"prompt_tokens": prompt, "completion_tokens": written,
                 "prompt_tokens_details": {"cached_tokens": cached}}  # fmt: skip
        outcome = classify(Ended(200, {}, reply(usage=usage)), TEACHER.sent(body))
        price = TEACHER.cost(outcome.usage, worst)
        assert 0 <= price <= worst
        record = {
            "body": "{}", "response": "", "text": outcome.text, "failure": outcome.kind,
            "finish_reason": outcome.finish_reason, "length": 100, "prompt_tokens": 1,
            "completion_tokens": 1, "model": "m", "nano_dollars": price,
        }  # fmt: skip
        self.jobs[job].keep_record(request_key(body), record, charge)
        self.answered.add(number)
        self.known += price - worst

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), status=st.sampled_from([400, 429, 500, 502, 504]))
    def end_with_a_status(self, data, status):
        charge = data.draw(st.sampled_from(sorted(self.sent)))
        job, _, worst = self.sent.pop(charge)
        outcome = classify(Ended(status, {}, b""), TEACHER.sent({}))
        if outcome.billed == "none":
            self.jobs[job].release(charge)
            self.known -= worst
        else:
            assert status >= 500
            self.jobs[job].lose(charge)

    @rule(job=st.integers(0, 1))
    def kill(self, job):
        self.jobs[job].close()
        self.jobs[job] = TeacherJournal(self.path)
        self.sent = {k: row for k, row in self.sent.items() if row[0] != job}  # stay charged

    @rule(data=st.data(), amount=st.integers(0, 100))
    def settle(self, data, amount):
        journal = self.jobs[0]
        open_ = [row for row in journal.charges() if not journal.under_way(row)]
        if open_:
            charge = data.draw(st.sampled_from(open_))
            journal.settle(charge["id"], amount)
            self.known += amount - charge["nano_dollars"]

    @invariant()
    def the_account_is_exact_and_under_the_cap(self):
        for job in self.jobs:
            spent, open_ = job.totals()
            assert spent == self.known
            assert 0 <= open_ <= spent <= BUDGET


Account.TestCase.settings = settings(
    max_examples=int(os.environ.get("BUDGET_STEPS", "1000")) // 40, stateful_step_count=40, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
TestAccount = Account.TestCase
