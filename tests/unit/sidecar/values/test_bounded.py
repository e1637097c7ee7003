"""Values that are kept as long as there is room for them."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.values.bounded import ByBytes

STEPS = st.lists(
    st.tuples(st.sampled_from(["keep", "get", "drop"]), st.integers(0, 9), st.integers(0, 12)), max_size=60
)


@given(STEPS, st.integers(0, 30))
def test_it_holds_what_was_used_last_within_its_bytes(steps: list[tuple[str, int, int]], limit: int) -> None:
    kept, model = ByBytes[int, int](limit), dict[int, int]()  # size by key, the longest unused first
    for what, key, size in steps:
        if what == "get":
            assert kept.get(key) == (key if key in model else None)
            if key in model:
                model[key] = model.pop(key)
            continue
        model.pop(key, None)
        if what == "drop":
            kept.drop(key)
            continue
        kept.keep(key, key, size)
        model[key] = size
        while sum(model.values()) > limit:
            del model[next(iter(model))]
        assert kept.bytes == sum(model.values()) <= limit
        assert len(kept) == len(model)


def test_all_of_a_kind_can_be_forgotten() -> None:
    kept = ByBytes[int, int](limit=100)
    for number in range(10):
        kept.keep(number, number, 3)
    kept.drop_where(lambda number: number % 2 == 1)
    assert [number for number in range(10) if kept.get(number) is not None] == [0, 2, 4, 6, 8]
    assert (len(kept), kept.bytes) == (5, 15)
