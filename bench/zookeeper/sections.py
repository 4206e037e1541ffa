"""Does critical sections on ZooKeeper as lines of its input ask for them.

A lock of kazoo, and sets under it. The answer to each line says when its steps
were done, by the clock that all processes of a machine share. See
crates/music-cli/src/bench/wan, which does the same.
"""

import argparse
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock as Guard

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException

CLIENTS_MAX = 1000


class Site:
    """A client at a site, with the one session that all its locks share."""

    def __init__(self, host):
        self.client = KazooClient(hosts=host, timeout=30)
        self.client.start(timeout=30)
        self.locks, self.values, self.guard = {}, set(), Guard()

    def lock(self, wanted):
        """A client's lock at a key: made once, as it looks for its node first."""
        name = (wanted["client"], wanted["key"])
        with self.guard:
            if name not in self.locks:
                self.locks[name] = self.client.Lock(f"/locks/{wanted['key']}")
            return self.locks[name]

    def paths(self, wanted):
        """The nodes of all that is put, made where they are not there yet."""
        paths = [f"/values/{wanted['key']}/{field}" for field in range(wanted["puts"])]
        for path in paths:
            if path not in self.values:
                self.client.ensure_path(path)
                self.values.add(path)
        return paths

    def section(self, wanted):
        lock, paths = self.lock(wanted), self.paths(wanted)
        value = os.urandom(wanted["bytes"])
        times = {"began_ns": time.monotonic_ns()}
        lock.acquire()
        times["granted_ns"] = time.monotonic_ns()
        try:
            self.put(paths, value, wanted["how"])
            time.sleep(wanted.get("hold_ms", 0) / 1000)
        finally:
            times["released_ns"] = time.monotonic_ns()
            lock.release()
        times["ended_ns"] = time.monotonic_ns()
        return times

    def put(self, paths, value, how):
        if how != "batch":
            for path in paths:
                self.client.set(path, value)
            return
        batch = self.client.transaction()
        for path in paths:
            batch.set_data(path, value)
        for result in batch.commit():
            if isinstance(result, Exception):
                raise result

    def answer(self, line):
        wanted = json.loads(line)
        answer = {"id": wanted["id"]}
        try:
            answer |= self.section(wanted)
        except KazooException as error:
            answer["error"] = f"{type(error).__name__} {error}"
        with self.guard:
            print(json.dumps(answer), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    site = Site(parser.parse_args().host)
    print("ready", flush=True)
    with ThreadPoolExecutor(CLIENTS_MAX) as clients:
        for line in sys.stdin:
            clients.submit(site.answer, line)


if __name__ == "__main__":
    main()
