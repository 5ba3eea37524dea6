"""Back-off: a trial may lose a little, then the drafter is left alone until a probe costs next to nothing."""

from speccas.core.decoding.length.back_off import BackOff
from speccas.core.decoding.length.constants import CONSTANTS
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.decoding.length.relative import RelativeCosts


def back_off(idle_seconds: float | None, unread: int = 0, step: float = 0.1) -> BackOff:
    """On a machine whose expert reads a token in two seconds and every further one in one."""
    latency = LatencyModel({1: 2.0, 4: 5.0}, step=step, catch_up=0.5)
    return BackOff(latency, RelativeCosts(latency), idle_seconds, unread)


def test_what_pays_is_drafted_and_what_does_not_is_tried_for_two_expert_steps_at_most() -> None:
    known, unknown = back_off(idle_seconds=0.0), back_off(idle_seconds=None)
    assert known.begin(pays=True, room=16) == 1 and known.drafting
    assert known.begin(pays=False, room=16) is None and not known.drafting
    trial = unknown.begin(pays=False, room=16)
    assert trial is not None and 1 <= trial <= CONSTANTS.longest_trial
    unknown.learn_drafted(lost_seconds=3.9)
    assert unknown.begin(pays=False, room=16) is not None
    unknown.learn_drafted(lost_seconds=0.1)
    assert unknown.begin(pays=False, room=16) is None, "2 steps of 2 seconds are lost"
    unknown.learn_drafted(lost_seconds=-1.0)
    assert unknown.begin(pays=False, room=16) is not None, "what is won may be lost"


def test_a_trial_is_short_where_steps_are_dear_and_never_longer_than_there_is_room() -> None:
    assert back_off(None).begin(pays=False, room=2) == 2
    assert back_off(None).begin(pays=False, room=16) == 3
    assert back_off(None, step=2.0).begin(pays=False, room=16) == 1


def test_a_probe_comes_when_it_costs_a_hundredth_of_the_idle_time() -> None:
    """Its price: three steps of 0.1, a call of four for 3 seconds more than one of one, and each unread token."""
    assert back_off(idle_seconds=329.0).begin(pays=False, room=16) is None
    assert back_off(idle_seconds=331.0).begin(pays=False, room=16) is not None
    assert back_off(idle_seconds=331.0, unread=10).begin(pays=False, room=16) is None
    assert back_off(idle_seconds=831.0, unread=10).begin(pays=False, room=16) is not None


def test_idle_time_and_unread_tokens_grow_without_the_drafter_and_end_when_it_is_asked() -> None:
    waiting = back_off(idle_seconds=0.0, unread=5)
    waiting.learn_idle(tokens=1, seconds=2.0)
    waiting.learn_idle(tokens=1, seconds=2.0)
    assert waiting.idle_seconds == 4.0
    assert waiting.begin(pays=False, room=16) is None and waiting.idle_seconds == 4.0
    assert waiting.begin(pays=True, room=16) == 1
    assert waiting.catching_up == 7 and waiting.idle_seconds == 0
    assert waiting.begin(pays=True, room=16) == 1 and waiting.catching_up == 0
