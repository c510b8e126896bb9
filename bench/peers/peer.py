"""One worker in Python: the same questions and answers as `distlock-bench worker` (bench/src/worker).

Each class below is one module's lock. Everything is done by the module's blocking API; tasks are threads.
"""

import argparse
import json
import sys
import threading
import time
import uuid
from urllib.parse import urlsplit


class Filelock:
    def __init__(self, place):
        import filelock
        import os

        self.directory = place.url.removeprefix("file://")
        os.makedirs(self.directory, exist_ok=True)
        self.lock = filelock.FileLock

    def acquire(self, key):
        lock = self.lock(f"{self.directory}/{key}.filelock", thread_local=False)
        lock.acquire()
        return lock.release


class RedisPy:
    def __init__(self, place):
        import redis

        self.client = redis.Redis.from_url(place.url)
        self.ttl = place.ttl_ms / 1000

    def acquire(self, key):
        lock = self.client.lock(f"redis-py:{key}", timeout=self.ttl, thread_local=False)
        lock.acquire()
        return lock.release


class Tooz:
    def __init__(self, place):
        from tooz import coordination

        url, options = place.url, f"?lock_timeout={max(1, place.ttl_ms // 1000)}"
        host = urlsplit(url).netloc
        url = {
            "file": url,
            "redis": f"redis://{host}{options}",
            "etcd": f"etcd3+http://{host}{options}",
        }[urlsplit(url).scheme]
        self.client = coordination.get_coordinator(url, uuid.uuid4().hex.encode())
        self.client.start(start_heart=True)

    def acquire(self, key):
        lock = self.client.get_lock(key.encode())
        while not lock.acquire(blocking=True):
            pass
        return lock.release


class Sherlock:
    def __init__(self, place):
        import redis
        import sherlock

        self.client = redis.Redis.from_url(place.url)
        self.lock = sherlock.RedisLock
        # Never gives up, as the others.
        self.settings = {"expire": max(1, place.ttl_ms // 1000), "timeout": 3600, "retry_interval": 0.1}

    def acquire(self, key):
        lock = self.lock(f"sherlock:{key}", client=self.client, **self.settings)
        lock.acquire()
        return lock.release


MODULES = {"filelock": Filelock, "redis-py": RedisPy, "tooz": Tooz, "sherlock": Sherlock}


def say(text):
    print(text, flush=True)


def ready():
    say("ready")
    if sys.stdin.readline() != "go\n":
        raise SystemExit("not told to begin")


def alone(place, work):
    client, key = MODULES[place.module](place), place.tag
    for _ in range(work.pairs // 10 + 1):
        client.acquire(key)()
    ready()
    nanos = []
    for _ in range(work.pairs):
        began = time.perf_counter_ns()
        client.acquire(key)()
        nanos.append(time.perf_counter_ns() - began)
    say(json.dumps(nanos))


def contend(place, work):
    module = MODULES[place.module]
    client = module(place)
    client.acquire(place.tag)()
    clients = [module(place) if work.apart else client for _ in range(work.tasks)]
    turns = [[] for _ in range(work.tasks)]

    def task(number):
        key = f"{place.tag}-{number}" if work.distinct else place.tag
        while time.monotonic() < until:
            asked = time.monotonic_ns()
            release = clients[number].acquire(key)
            granted = time.monotonic_ns()
            if work.hold_us:
                time.sleep(work.hold_us / 1e6)
            turns[number].append([asked, granted, time.monotonic_ns()])
            release()

    ready()
    until = time.monotonic() + work.ms / 1e3
    threads = [threading.Thread(target=task, args=(number,)) for number in range(work.tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    say(json.dumps(turns))


def many(place, work):
    """Holds as many as it is told to, renewed by the module itself: tooz alone does that."""
    client = MODULES[place.module](place)
    client.acquire(f"{place.tag}-first")()
    before, began = resident(), time.monotonic()
    releases = [client.acquire(f"{place.tag}-{number}") for number in range(work.locks)]
    acquired_in_s = time.monotonic() - began
    ready()
    # Whether they are still held, the release tells.
    say(json.dumps({"acquired_in_s": acquired_in_s, "resident_before": before, "renewed": work.locks}))
    if not all(release() for release in releases):
        raise SystemExit("some were lost")
    say("released")


def resident():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def hold(place, work):
    release = MODULES[place.module](place).acquire(place.tag)
    ready()
    time.sleep(3600)
    release()


def wait(place, work):
    client = MODULES[place.module](place)
    ready()
    release = client.acquire(place.tag)
    say(str(time.monotonic_ns()))
    time.sleep(3600)
    release()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--module", choices=MODULES, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--ttl-ms", type=int, default=30_000)
    parser.add_argument("--tag", default="try")
    parser.add_argument("--alone", action="store_true")
    works = parser.add_subparsers(required=True)
    for work in (alone, contend, many, hold, wait):
        options = works.add_parser(work.__name__)
        options.set_defaults(run=work)
        if work is alone:
            options.add_argument("--pairs", type=int, required=True)
        if work is many:
            options.add_argument("--locks", type=int, required=True)
        if work is contend:
            options.add_argument("--tasks", type=int, required=True)
            options.add_argument("--ms", type=int, required=True)
            options.add_argument("--hold-us", type=int, default=0)
            options.add_argument("--distinct", action="store_true")
            options.add_argument("--apart", action="store_true")
            options.add_argument("--one-thread", action="store_true")
    arguments = parser.parse_args()
    arguments.run(arguments, arguments)


if __name__ == "__main__":
    main()
