from itertools import count

from bench.sampling import in_turn


def test_each_contender_has_a_sample_in_each_round() -> None:
    numbers = count()

    samples = in_turn(dict.fromkeys("ab", lambda: float(next(numbers))), rounds=3, seconds=60)

    assert {name: len(some) for name, some in samples.items()} == {"a": 3, "b": 3}
    assert [{samples["a"][turn], samples["b"][turn]} for turn in range(3)] == [{0, 1}, {2, 3}, {4, 5}]


def test_a_contender_whose_time_is_used_up_is_not_measured_again() -> None:
    samples = in_turn({"slow": lambda: 1.0}, rounds=3, seconds=0)

    assert samples == {"slow": [1.0]}
