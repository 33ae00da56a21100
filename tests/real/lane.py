"""What the tests of a lane do and see: jobs as users submit them, domains as an administrator at the host's console sees them."""

import contextlib
import itertools
import os
import time

import libvirt

from tests.lab import pool as pools
from tests.lab.farm import LabFarm
from tests.lab.lanes import host_entry
from tests.lab.libvirtd import Libvirtd

REPORT = """#!/bin/sh
echo "worker $(hostname)"
echo "first process $(cat /proc/1/comm)"
echo "root $(grep ' / ' /proc/mounts | head -1 | cut -d' ' -f1,3,4 | cut -d, -f1)"
sleep "$1" &
trap 'kill $!; exit 1' TERM
wait
echo done
"""
RUNNING, GONE = 2, 4
LEASE_SECONDS = 20
"""So long HTCondor itself waits for a worker that does not answer before it starts a job again; 40 minutes by default."""


class Lane:
    """Holds one driver of one libvirtd, a pool, and the farm of both."""

    def __init__(self, driver, daemon, pool, farm):
        self.driver = driver
        self.daemon = daemon
        self.pool = pool
        self.farm = farm
        self._numbers = itertools.count(1)

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def submit(self, environment, seconds=0.0, vo="atlas", lease_seconds=LEASE_SECONDS):
        """Submit one job; return its cluster and where it says what it saw."""
        script, out = self.pool.jobs / "report.sh", self.pool.jobs / f"report.{next(self._numbers)}"
        script.write_text(REPORT)
        script.chmod(0o755)
        words = {
            "executable": script,
            "output": out,
            "error": f"{out}.err",
            "transfer_executable": "true",
            "arguments": seconds,
            "job_lease_duration": lease_seconds,
        }
        return self.pool.sleep(vo=vo, environment=environment, **words), out

    def remove(self, cluster):
        """Remove a job as its user would: its worker is told, and free at once."""
        self.pool.tool("condor_rm", str(cluster), user="alice")

    def status(self, cluster):
        """Return a job's status; GONE when it has left the queue."""
        jobs = self.pool.queue(str(cluster), "-attributes", "JobStatus")
        return jobs[0].get("JobStatus") if jobs else GONE

    def record(self, cluster):
        """Return what the history says of a job that has left the queue; None before, and while the schedd is down."""
        with contextlib.suppress(RuntimeError):
            return next(iter(self.pool.history(cluster)), None)
        return None

    def ads(self, worker):
        """Return the collector's ads of a worker."""
        return [ad for ad in self.pool.ads("-attributes", "Name,Machine") if worker in str(ad)]

    # --- domains ------------------------------------------------------------------------------------------------------

    def domains(self):
        """Return names and UUIDs of what runs, as its libvirtd says."""
        with contextlib.closing(libvirt.open(self.daemon.uri(self.driver))) as connection:
            return {
                domain.name(): domain.UUIDString()
                for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
            }

    def storage(self):
        """Return the names of all that was made for workers."""
        return {path.name for place in (self.daemon.volumes, self.daemon.directory / "enrolment") for path in place.iterdir()}

    def starts(self):
        """Return each worker ever started here, once per start, as libvirt itself has logged it."""
        logs = self.daemon.directory / "log" / self.driver
        return sorted(
            log.stem for log in logs.glob("*.log") for _ in range(log.read_text(errors="replace").count("starting up"))
        )

    def left(self):
        """Return what is left of workers: domains, volumes, directories, ads."""
        ads = {ad["Name"] for ad in self.pool.ads("-attributes", "Name")}
        return {"domains": set(self.domains()), "storage": self.storage(), "ads": ads}

    def wait_until_nothing_is_left(self, seconds=180):
        """Wait for the end of all workers; return how long it took."""
        began = time.monotonic()
        try:
            self.farm.until(lambda: not any(self.left().values()), seconds, "the workers are retired and nothing of them stays")
        except AssertionError as error:
            error.add_note(f"left: {self.left()}")
            raise
        return time.monotonic() - began

    def running_job(self, environment, seconds=600.0):
        """Submit a job, wait until it runs; return its cluster, its worker and where it says at its end what it saw."""
        cluster, out = self.submit(environment, seconds, vo=environment.partition("-")[0])
        return cluster, self.wait_until_it_runs(cluster), out

    def wait_until_it_runs(self, cluster, elsewhere_than="", seconds=180):
        """Wait until a job runs, in another worker than before; return the worker."""

        def runs():
            jobs = self.pool.queue(str(cluster), "-attributes", "JobStatus,RemoteHost,NumJobStarts")
            if not jobs or jobs[0].get("JobStatus") != RUNNING or not jobs[0].get("NumJobStarts"):
                return ""
            worker = next(
                (name for name in self.domains() if name in jobs[0].get("RemoteHost", "").split("@")[-1].split(".")), ""
            )
            return worker if worker != elsewhere_than else ""

        return self.farm.until(runs, seconds, "the job runs")


@contextlib.contextmanager
def lane(driver, directory, environments, batch_options=None, **limits):
    """Run a farm with one host of a driver, a pool of its own and these environments (VO -> name -> definition)."""
    daemon = Libvirtd(f"{driver}-lane-{os.getpid()}", dies_with_parent=True)
    with pools.test_pool(f"{driver}-lane") as pool:
        try:
            daemon.start()
            farm = LabFarm(directory, pool, [host_entry(daemon, driver)], environments, limits, batch_options=batch_options)
            pool.configure("60-ambienti.conf", farm.ambienti("hooks", "htcondor"))
            farm.start()
            try:
                yield Lane(driver, daemon, pool, farm)
            finally:
                assert farm.stop() == 0, farm.log()
        finally:
            daemon.remove()
