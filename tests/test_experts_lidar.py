"""The lidar is read back exactly for one object, and the compass too."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from experts.lidar import bin_bearings, centroid, heading, single_object, wrap
from tests.experts_scene import observe, setting_of, slow_lidar

angles = st.floats(-np.pi, np.pi)


@given(st.floats(0.01, 2.99), angles)
def test_one_objects_offset_is_read_back_exactly(distance: float, bearing: float) -> None:
    offset = distance * np.array([np.cos(bearing), np.sin(bearing)])
    found, seen = single_object(slow_lidar(offset[None])[None])
    assert seen[0]
    np.testing.assert_allclose(found[0], offset, atol=1e-9)


def test_one_object_on_the_edge_of_a_bin_is_read_back() -> None:
    offsets = np.array([[np.cos(b), np.sin(b)] for b in bin_bearings(16)])
    found, _ = single_object(np.stack([slow_lidar(offset[None]) for offset in offsets]))
    np.testing.assert_allclose(found, offsets, atol=1e-9)


def test_an_object_out_of_range_is_not_seen() -> None:
    found, seen = single_object(np.stack([slow_lidar(np.array([[3.0, 0.5]])), slow_lidar(np.array([[1.0, 0.0]]))]))
    assert seen.tolist() == [False, True]
    np.testing.assert_array_equal(found[0], 0.0)


def test_the_centroid_points_to_where_the_objects_are() -> None:
    ahead = slow_lidar(np.array([[1.0, 0.2], [2.0, -0.3]]))
    around = slow_lidar(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    direction, seen = centroid(np.stack([ahead, around, np.zeros(16)]))
    assert seen.tolist() == [True, True, False]
    assert direction[0, 0] > 0.8
    assert abs(direction[0, 1]) < 0.2
    assert np.hypot(*direction[1]) < 0.1
    np.testing.assert_array_equal(direction[2], 0.0)


@given(angles)
def test_the_magnetometer_tells_the_heading(angle: float) -> None:
    setting = setting_of("Point")
    found = heading(observe(setting, heading=angle)[None, setting.slices["magnetometer"]])
    np.testing.assert_allclose(wrap(found - angle), 0.0, atol=1e-9)


@given(st.floats(-100, 100))
def test_wrapping_keeps_the_angle(angle: float) -> None:
    wrapped = wrap(np.array(angle))
    assert -np.pi <= wrapped <= np.pi
    np.testing.assert_allclose([np.cos(wrapped), np.sin(wrapped)], [np.cos(angle), np.sin(angle)], atol=1e-9)
