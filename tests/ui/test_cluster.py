"""The page of a cluster, with a scheduler and workers that run."""

import re
import subprocess
import sys
import time

import pytest

pytest.importorskip("distributed")

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

# A scheduler and two workers in one process, which is not that of the server.
CLUSTER = """
import sys
import time
from distributed import Client, LocalCluster

cluster = LocalCluster(
    n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0",
    protocol="tcp", host="127.0.0.1", memory_limit="1GiB",
)
client = Client(cluster)

def fail(k):
    raise ValueError(k)

print(cluster.scheduler_address, flush=True)
for line in sys.stdin:
    if line.startswith("work"):
        failed = client.submit(fail, 1)
        running = client.map(time.sleep, [600.0 + k for k in range(30)])
"""


@pytest.fixture
def cluster():
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.address = process.stdout.readline().strip()
    assert process.address.startswith("tcp://127.0.0.1:")
    yield process
    process.kill()
    process.wait(30)
    process.stdin.close()
    process.stdout.close()


def facts(page):
    """Return the numbers above the table by their names."""
    words = page.inner_text("[aria-label=Cluster]").split("\n")
    return dict(zip(words[::2], words[1::2], strict=True))


def test_cluster_is_watched_from_its_address_to_its_end(visit, cluster):
    one = visit()
    page = one.page
    one.open("/cluster")
    page.fill("input[aria-label^='Address']", cluster.address)
    page.keyboard.press("Enter")
    page.wait_for_selector("[aria-label=Cluster] >> text=Workers")
    page.wait_for_selector("table[aria-label=Workers] tbody tr >> nth=1")
    assert facts(page)["Workers"] == facts(page)["Threads"] == "2"
    cluster.stdin.write("work\n")
    cluster.stdin.flush()
    page.wait_for_function(
        "document.querySelector('[aria-label=Cluster]').innerText.includes('Failed\\n1')"
    )
    deadline = time.monotonic() + 60
    while (found := facts(page))["Running"] != "2" and time.monotonic() < deadline:
        page.wait_for_timeout(300)
    # Thirty tasks and one that failed: two run, and nobody forgets those that wait.
    assert (found["Running"], found["Waiting"], found["Failed"]) == ("2", "28", "1")
    assert re.fullmatch(r"[\d.]+ [kMG]B", found["Memory"])
    assert page.inner_text("table[aria-label=Workers] tbody").count("of 1.1 GB") == 2
    one.shoot("cluster-busy")
    dashboard = page.get_attribute("a:has-text('Dashboard of Dask')", "href")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/status", dashboard)

    # The link keeps the focus while numbers change.
    page.focus("a:has-text('Dashboard of Dask')")
    page.wait_for_timeout(4500)
    assert page.evaluate("document.activeElement.innerText") == "Dashboard of Dask"
    cluster.kill()
    page.wait_for_selector(".bad:has-text('No scheduler answers')")
    assert not page.is_visible("[aria-label=Cluster]")


def test_other_addresses_are_refused_in_words(visit):
    one = visit()
    one.open("/cluster")
    one.page.fill("input[aria-label^='Address']", "http://127.0.0.1:80")
    one.page.click("button:has-text('Watch')")
    one.page.wait_for_selector(".bad:has-text('tcp://127.0.0.1:8786')")
