"""The forms of the ledger show the responses of all backends."""

import json
from typing import Any

from playwright.sync_api import expect

from tests.browser.trial_page import TrialPage


def send(trial: TrialPage, operation: str, to: str = "", **fields: str) -> dict[str, Any]:
    """Fill in a form, send it, and return the response of each backend."""
    form = trial.page.get_by_role("form", name=operation, exact=True)
    for label, value in fields.items():
        form.get_by_label(label.replace("_", " ")).fill(value)
    if to and len(trial.site.backends) > 1:
        form.get_by_role("combobox").select_option(to)
    before = trial.number()
    form.get_by_role("button").click()
    trial.wait_for_result(before)
    verdicts = {name: trial.verdict(name) for name in trial.site.backends if not to or name == to}
    for verdict in verdicts.values():
        expect(verdict).to_contain_text("The session ended as promised.")
    return {name: json.loads(verdict.locator("pre").inner_text()) for name, verdict in verdicts.items()}


def test_transfers_move_money_on_every_backend(trial: TrialPage) -> None:
    source = send(trial, "Open an account", Owner="Ada", Currency="EUR", Balance="100.00")
    target = send(trial, "Open an account", Owner="Bob", Currency="EUR", Balance="0")
    for name in trial.site.backends:
        accounts = {"From_account": str(source[name]["id"]), "To_account": str(target[name]["id"])}
        assert send(trial, "Transfer", to=name, **accounts, Amount="5.00")[name]["amount"] == "5.00"
    found = send(trial, "List accounts")
    listed = send(trial, "List transfers")

    for name in trial.site.backends:
        balances = {account["id"]: account["balance"] for account in found[name]["items"]}
        assert (balances[source[name]["id"]], balances[target[name]["id"]]) == ("95.00", "5.00")
        assert listed[name]["items"][-1]["to_account_id"] == target[name]["id"]


def test_a_refusal_says_which_field_is_wrong(trial: TrialPage) -> None:
    answers = send(trial, "Open an account", Currency="euro")

    for name in trial.site.backends:
        assert answers[name]["errors"]["currency"] == ["Not three letters from A to Z."]
        expect(trial.verdict(name)).to_contain_text("422 UNPROCESSABLE ENTITY")


def test_each_transfer_has_a_new_key(trial: TrialPage) -> None:
    key = trial.page.get_by_label("Key, once for each transfer")
    before = key.input_value()
    send(trial, "Transfer", From_account="1", To_account="1")

    assert key.input_value() not in {"", before}
