"""The figures of `make test-gpu`, as a table at the end, to paste into an issue."""

import importlib.metadata
import platform

import pytest

FIGURES = pytest.StashKey[list]()


def pytest_configure(config):
    config.stash[FIGURES] = []


@pytest.fixture
def figure(request):
    """`figure("tokens per second", "12,000")` adds a row under the test's name, and shows it."""

    capture = request.config.pluginmanager.getplugin("capturemanager")

    def add(what, value):
        name = request.node.name.removeprefix("test_").replace("_", " ")
        request.config.stash[FIGURES].append((name, what, str(value)))
        with capture.global_and_fixture_disabled():  # at once: what was paid for is not lost
            print(f"\n{name}: {what}: {value}", end="", flush=True)

    return add


def machine():
    """What the figures hold for: card, driver's CUDA, and the packages that compute."""
    import torch
    from jz3.workflow import environments

    yield "Python", platform.python_version()
    for package in ("torch", "transformers", "accelerate", "peft", "trl"):
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            yield package, "not installed"
    if torch.cuda.is_available():
        yield "driver", "runs CUDA {}.{}".format(*environments.driver_cuda())
        for number in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(number)
            yield f"GPU {number}", f"{card.name}, {card.total_memory / 1e9:.0f} GB"
    else:
        yield "GPU", "none: tiny shapes on the processor, which say nothing of speed"


def pytest_terminal_summary(terminalreporter, config):
    if not config.stash[FIGURES] or hasattr(config, "workerinput"):
        return
    terminalreporter.section("figures")
    rows = [("machine", what, value) for what, value in machine()] + config.stash[FIGURES]
    terminalreporter.write_line("| test | what | value |")
    terminalreporter.write_line("|---|---|---|")
    for row in rows:
        terminalreporter.write_line(f"| {' | '.join(row)} |")
    for skipped in terminalreporter.stats.get("skipped", []):
        name = skipped.nodeid.split("::")[-1].removeprefix("test_").replace("_", " ")
        reason = skipped.longrepr[2].removeprefix("Skipped: ")
        terminalreporter.write_line(f"| {name} | skipped | {reason} |")
