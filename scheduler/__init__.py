"""The loop: observe, decide, act, remember, report.

The rooms, from the top down; a room imports only from rooms below it (`.importlinter`):

    commands/      the command line, a file for each kind of question
    daemon/        the process: when to go round, signals, log, metrics, the doors for HTTP
    publish/       what leaves the house: pages and PDFs, mail, pages to people on call, published versions
    show/          what a terminal shows, as rows and tables
    site/          the site's files: read, checked, kept fresh, composed into a running farm
    loop/          the engine: asking, acting, who leads
    observe/       from readings to one observation
    journal/       what is remembered, in one database, and its migrations
    decide/        pure: demand, supply, shares, placement, boots, retirement, and why
    oncall/        pure: incidents, deadlines, rotations, escalation
    availability/  pure: timelines, figures, promises, reports
    model/         the shared words: readings, workers, hosts, actions, states, policy, ports, time

How a cycle goes through them:

    daemon/daemon.py         it is time, or a host has told of an ended domain: go round
    site/reload.py           files that have changed come into force, or are refused
    loop/engine.py           take or renew the lease; then the steps below
    loop/asking.py           ask every batch system and host, each in its lane, through the ports of model/ports.py
    observe/merge.py         join answers, journal and what was seen last into one Observation
    observe/derive.py        say in which state each worker is
    decide/plan.py           make a Plan of it: demand, supply, shares, boots, retirement, ending, verdicts
    observe/statuses.py      say how everything stands at this look
    journal/journal.py       remember what was seen
    loop/act.py              write the intent of each action, then begin it
    loop/errands.py          do what each kind of action does
    daemon/telling.py        log what has changed; daemon/metrics.py and daemon/web.py show how it stands
    publish/paging.py        beside the cycle: follow incidents and send what stands in the outbox

`why` uses the same decision: decide/explain.py and decide/worker_story.py read from it what was decided and why.
"""
