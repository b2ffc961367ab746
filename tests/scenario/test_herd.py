"""A herd of agents that booted together does not come back together."""

import pytest

from tests.benchmarks.renewals import AGENTS, BOOT_S, BOUND, LIVES, Herd, load


@pytest.mark.parametrize("name", LIVES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_second_of_the_first_renewals_has_twice_their_mean(name: str, seed: int) -> None:
    wave = load(Herd(*LIVES[name], seed=seed).wave())
    assert wave.ratio < BOUND
    assert wave.peak < AGENTS / BOOT_S / 3  # a third of what the cloud bore when they booted


def test_each_later_wave_is_flatter_than_the_first() -> None:
    herd = Herd(*LIVES["AWS"], seed=1)
    waves = [load(herd.wave()) for _ in range(12)]
    assert max(wave.peak for wave in waves[1:]) < BOUND * waves[0].mean
    assert waves[11].peak < waves[0].peak / 2
    assert waves[11].lasts_s > 4 * waves[0].lasts_s
