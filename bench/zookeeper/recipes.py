"""Measures what recipes of kazoo take on ZooKeeper, by site.

Each host is the server of a site; sites work at once, each with names of its
own, but for the double barrier, which all cross together.
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from math import ceil

from kazoo.client import KazooClient

RECIPES = ["mutex", "counter", "election", "semaphore", "double-barrier", "queue"]


class Site:
    """A client at a site, with the one session that all its recipes share."""

    def __init__(self, number, host, sites, run):
        self.number, self.host, self.sites, self.run = number, host, sites, run
        # Of the double barrier; each has a name of its own.
        self.crossings = 0
        self.client = KazooClient(hosts=host, timeout=30)
        self.client.start(timeout=30)

    def once(self, what, times):
        own = f"/{self.run}/{what}/{self.number}"
        began = time.perf_counter()
        if what == "mutex":
            lock = self.client.Lock(own)
            lock.acquire()
            lock.release()
        elif what == "counter":
            counter = self.client.Counter(own)
            counter += 1
        elif what == "election":
            # It resigns when the function returns.
            self.client.Election(own, "c").run(lambda: None)
        elif what == "semaphore":
            semaphore = self.client.Semaphore(own, max_leases=3)
            semaphore.acquire()
            semaphore.release()
        elif what == "double-barrier":
            self.crossings += 1
            path = f"/{self.run}/barrier/{self.crossings}"
            barrier = self.client.DoubleBarrier(path, self.sites, str(self.number))
            barrier.enter()
            barrier.leave()
        else:
            queue = self.client.LockingQueue(own)
            queue.put(b"item")
            times["queue push"].append(time.perf_counter() - began)
            began = time.perf_counter()
            queue.get()
            queue.consume()
            what = "queue take, done"
        times[what].append(time.perf_counter() - began)

    def all(self, what, count):
        # The first one creates what is missing.
        self.once(what, defaultdict(list))
        times = defaultdict(list)
        for _ in range(count):
            self.once(what, times)
        return times


def quantile(times, part):
    """Of the nearest rank, in milliseconds."""
    ranked = sorted(times)
    return round(ranked[max(ceil(len(ranked) * part), 1) - 1] * 1000, 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", required=True, help="a server for each site")
    parser.add_argument("--count", type=int, default=100)
    arguments = parser.parse_args()
    hosts = arguments.hosts.split(",")
    run = f"bench-{os.getpid()}-{time.time_ns()}"
    sites = [Site(at, host, len(hosts), run) for at, host in enumerate(hosts)]
    rows = []
    with ThreadPoolExecutor(len(sites)) as threads:
        for what in RECIPES:
            measured = threads.map(lambda site: site.all(what, arguments.count), sites)
            for site, times in zip(sites, measured):
                rows += [
                    {
                        "recipe": name,
                        "endpoint": site.host,
                        "median_ms": quantile(each, 0.5),
                        "p99_ms": quantile(each, 0.99),
                    }
                    for name, each in times.items()
                ]
    for site in sites:
        site.client.stop()
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main()
