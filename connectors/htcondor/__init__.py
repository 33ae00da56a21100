"""HTCondor: queues, workers' slots, enrolment and drains of a pool; the configuration that the pool itself needs."""

from connectors.htcondor.hooks import hooks as hooks
from connectors.htcondor.pool import connect as connect
