"""Incidents once more, as simply as can be: minute by minute, one dictionary per incident, nothing clever. To compare with."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from scheduler.oncall.incident import Book
from scheduler.oncall.story import StoryTold

MINUTE = 60_000_000


def wall(at, zone):
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(ZoneInfo(zone))


def in_downtime(name, at, downtimes):
    for one in downtimes:
        begin = one.start if one.declared_at is None else max(one.start, one.declared_at)
        if (name in one.objects or "*" in one.objects) and begin <= at < one.end:
            return True
    return False


def all_quiet(incident, at, downtimes):
    return all(in_downtime(name, at, downtimes) for name in incident["bad"])


def call(incident, at, limit):
    incident["calls"].append({"at": at, "deadline": at + limit, "ended": None, "how": None, "by": ""})
    incident["due"], incident["step"], incident["held"] = at, 0, False


def close_call(incident, at, how, by):
    incident["calls"][-1].update(ended=at, how=how, by=by)
    if how != "self-healed":
        incident["due"] = None


class Oracle:
    def __init__(self, rules, begin, now):
        self.rules, self.begin, self.now, self.incidents = rules, begin, now, []

    def run(self, changes):
        changes = sorted(changes, key=lambda one: one.at)
        for at in range(self.begin, self.now + 1, MINUTE):
            for one in changes:
                if one.at == at:
                    getattr(self, one.what.value)(one)
            for incident in self.incidents:
                self.clock(incident, at)
        return self.incidents

    def open(self, incident, at):
        shown = wall(at, self.rules.promise.zone)
        office = shown.weekday() < 5 and 8 <= shown.hour < 17 and shown.date() not in self.rules.promise.holidays
        incident["state"], incident["limit"] = "open", (15 if office else 60) * MINUTE
        incident["opened"] = at
        call(incident, at, incident["limit"])
        self.page(incident, at)

    def page(self, incident, at):
        levels = self.rules.levels
        if incident["step"] >= len(levels) * (self.rules.repeat + 1):
            incident["due"] = None
            return
        level = levels[incident["step"] % len(levels)]
        person = self.rules.roster.on_call(level.target, at).person
        incident["pages"].append((at, person, incident["step"] % len(levels) + 1))
        incident["step"] += 1
        incident["due"] = at + level.wait

    def clock(self, incident, at):
        quiet = incident["bad"] and all_quiet(incident, at, self.rules.quiet)
        if incident["state"] == "quiet" and not quiet:
            self.open(incident, at)
        elif incident["state"] in ("open", "reopened") and incident["due"] is not None and incident["due"] <= at and not quiet:
            self.page(incident, at)

    def bad(self, one):
        cause = one.cause or f"object:{one.object}"
        same = [incident for incident in self.incidents if incident["cause"] == cause]
        last = same[-1] if same else None
        if last and last["state"] in ("quiet", "open", "reopened", "acknowledged"):
            if one.object not in last["bad"]:
                last["bad"].append(one.object)
                last["objects"].append(one.object)
                if last["state"] == "quiet" and not in_downtime(one.object, one.at, self.rules.quiet):
                    self.open(last, one.at)
            return
        quiet = in_downtime(one.object, one.at, self.rules.quiet)
        again = last and last["state"] in ("resolved", "self-healed") and one.at - last["closed"] <= self.rules.reopen
        if again and not quiet:
            self.reopen(last, one)
            return
        new = {"cause": cause, "state": "quiet", "bad": [one.object], "objects": [one.object], "calls": [], "pages": []}
        self.incidents.append(new | {"closed": None, "opened": None, "due": None})
        if not quiet:
            self.open(self.incidents[-1], one.at)

    def reopen(self, incident, one):
        unanswered = incident["calls"][-1]["how"] == "self-healed"
        deadline = incident["calls"][-1]["deadline"] if unanswered else one.at + incident["limit"]
        if one.object not in incident["bad"]:
            incident["bad"].append(one.object)
        incident["objects"].append(one.object)
        incident["state"], incident["closed"] = "reopened", None
        due, step, last = incident["due"], incident["step"], incident["pages"][-1] if incident["pages"] else None
        call(incident, one.at, deadline - one.at)
        left = step < len(self.rules.levels) * (self.rules.repeat + 1)
        if not unanswered or due is None or (due <= one.at and not left):
            self.page(incident, one.at)
        elif due <= one.at:
            incident["step"] = step
            self.page(incident, one.at)
        else:
            person = self.rules.roster.on_call(self.rules.levels[last[2] - 1].target, one.at).person
            incident["pages"].append((one.at, person, last[2]))
            incident["step"], incident["due"] = step, due

    def meant(self, one):
        for incident in self.incidents:
            expired = incident["closed"] is not None and one.at - incident["closed"] > self.rules.reopen
            of_cause = incident["cause"] == one.cause if one.cause else True
            if not expired and of_cause and one.object in incident["bad"]:
                yield incident

    def recovered(self, one):
        for incident in self.meant(one):
            incident["bad"].remove(one.object)
            if incident["bad"] or incident["state"] not in ("quiet", "open", "reopened", "acknowledged"):
                continue
            incident["closed"] = one.at
            if incident["state"] == "quiet":
                incident["state"] = "dismissed"
            elif incident["state"] == "acknowledged":
                incident["state"] = "resolved"
            else:
                close_call(incident, one.at, "self-healed", one.by)
                incident["state"] = "self-healed"

    def answered(self, one, answerable):
        found = [incident for incident in self.meant(one) if incident["state"] in answerable]
        if found or one.cause:
            return found
        return [i for i in self.incidents if one.object in i["objects"] and i["state"] in answerable]

    def acknowledged(self, one):
        for incident in self.answered(one, ("open", "reopened")):
            close_call(incident, one.at, "acknowledged", one.by)
            incident["state"] = "acknowledged"

    def resolved(self, one):
        for incident in self.answered(one, ("open", "reopened", "acknowledged")):
            if incident["state"] != "acknowledged":
                close_call(incident, one.at, "resolved", one.by)
            incident["state"], incident["closed"] = "resolved", one.at


def simulate(changes, rules, now):
    """Follow all changes up to `now`, as a daemon would have that never slept.

    At one instant, what happened comes before what the clock does: an acknowledgement at the very instant of an escalation
    stops it, a recovery at the end of a downtime pages nobody. Events of one instant keep their order.
    """
    told = sorted((change for change in changes if change.at <= now), key=lambda change: change.at)
    telling = StoryTold(rules, Book(at=told[0].at if told else now))
    for change in told:
        telling.wait(change.at)
        telling.take(change)
    return telling.until(now)
