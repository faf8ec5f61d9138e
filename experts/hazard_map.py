"""A map of the hazards, built from a lidar that shows many objects in 16 bins."""

import numpy as np

from experts.lidar import RANGE, bin_bearings

MAX_TRACKS = 12
"""Hazards remembered at a time; the Goal tasks have 8 or 10."""


class HazardMap:
    """Positions of hazards in the odometry's frame, for N worlds.

    Of several objects only the nearest shows in a bin, so most bins say little. One that is the largest among its
    neighbours shows a single object, and what the neighbours hold bounds its bearing: they contain the fraction a
    and 1 - a of its closeness, or more where other objects stand there. Where these bounds are close together they
    are a measurement. Hazards do not move: measurements near each other belong to one track and are averaged.
    """

    SAME_HAZARD = 0.18
    """Metres between a measurement and the track that it belongs to."""
    FARTHEST = 2.0
    """Metres up to which a measurement counts."""
    SHARP = 0.12
    """Bins between the bounds of a bearing that is believed."""
    UNSURE_WITHIN = 0.9
    """Metres: so near, an object with an unclear bearing is put onto the map too, unless a track explains it."""

    def reset(self, n: int) -> None:
        """Empty maps of `n` worlds."""
        self.positions = np.zeros((n, MAX_TRACKS, 2))
        self.weights = np.zeros((n, MAX_TRACKS))
        """(N, M) number of measurements behind a track, capped; 0 where there is none."""

    @property
    def known(self) -> np.ndarray:
        """(N, M) bool, where a position means something."""
        return self.weights >= 0.5

    def update(self, lidar: np.ndarray, position: np.ndarray, heading: np.ndarray) -> None:
        """Take in what is seen.

        Args:
            lidar: (N, B) closeness.
            position: (N, 2) of the robot in the odometry's frame.
            heading: (N,) of the body's x axis.
        """
        width = 2 * np.pi / lidar.shape[1]
        distance, bearing = self._polar(position, heading)
        self._drop_contradicted(lidar, distance, bearing / width)

        before, after = np.roll(lidar, 1, axis=1), np.roll(lidar, -1, axis=1)
        closeness = np.maximum(lidar, 1e-9)
        most = np.minimum(after / closeness, 1.0)  # of the bearing within the bin, in bins
        least = np.maximum(1.0 - before / closeness, 0.0)
        object_distance = RANGE * (1.0 - lidar)
        peak = (lidar >= after) & (lidar >= before) & (object_distance < self.FARTHEST) & (most - least > -0.02)
        sharp = peak & (most - least < self.SHARP)
        angle = bin_bearings(lidar.shape[1]) + np.clip(0.5 * (least + most), 0.0, 1.0) * width + heading[:, None]
        objects = np.stack([object_distance * np.cos(angle), object_distance * np.sin(angle)], axis=-1)
        objects += position[:, None]  # (N, B, 2)
        self._add(objects, sharp, weight=1.0)

        unsure = peak & ~sharp & (object_distance < self.UNSURE_WITHIN)
        if unsure.any():
            distance, bearing = self._polar(position, heading)
            explained = self._explained(distance, bearing / width, object_distance, least, most)
            self._add(objects, unsure & ~explained, weight=0.5)

    def _polar(self, position: np.ndarray, heading: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, M) distance and bearing, within [0, 2 pi), of every track."""
        offset = self.positions - position[:, None]
        bearing = np.arctan2(offset[..., 1], offset[..., 0]) - heading[:, None]
        return np.hypot(offset[..., 0], offset[..., 1]), bearing % (2 * np.pi)

    def _drop_contradicted(self, lidar: np.ndarray, distance: np.ndarray, bins: np.ndarray) -> None:
        """A hazard fills its bin at least to its own closeness; a track that would, and does not, loses weight."""
        held = np.take_along_axis(lidar, bins.astype(int) % lidar.shape[1], axis=1)
        contradicted = (distance < 0.8 * RANGE) & (held < 1.0 - distance / RANGE - 0.05)
        self.weights = np.where(contradicted, np.maximum(self.weights - 2.0, 0.0), self.weights)

    def _explained(
        self, distance: np.ndarray, bins: np.ndarray, object_distance: np.ndarray, least: np.ndarray, most: np.ndarray
    ) -> np.ndarray:
        """(N, B) bool: a track stands at that distance, within the bounds of the bearing."""
        n_bins = least.shape[1]
        half = n_bins / 2
        relative = (bins[:, None, :] - np.arange(n_bins)[:, None] + half) % n_bins - half  # (N, B, M)
        near = np.abs(distance[:, None, :] - object_distance[..., None]) < 0.1
        within = (relative > least[..., None] - 0.3) & (relative < most[..., None] + 0.3)
        return (near & within & (self.weights > 0)[:, None, :]).any(axis=-1)

    def _add(self, objects: np.ndarray, valid: np.ndarray, weight: float) -> None:
        """Average valid objects (N, B, 2) into the tracks, or begin new ones, one bin after the other."""
        for b in np.flatnonzero(valid.any(axis=0)):
            worlds = np.flatnonzero(valid[:, b])
            measured = objects[worlds, b]
            offset = self.positions[worlds] - measured[:, None]
            distance = np.where(self.weights[worlds] > 0, np.hypot(offset[..., 0], offset[..., 1]), np.inf)
            nearest = distance.argmin(axis=1)
            same = distance[np.arange(len(worlds)), nearest] < self.SAME_HAZARD
            track = np.where(same, nearest, self.weights[worlds].argmin(axis=1))
            old = np.where(same, self.weights[worlds, track], 0.0)
            # A running mean that never stops to follow: the odometry drifts.
            gain = np.maximum(weight / (old + weight), 0.08 * weight)[:, None]
            was = np.where(same[:, None], self.positions[worlds, track], measured)
            self.positions[worlds, track] = was + gain * (measured - was)
            self.weights[worlds, track] = np.minimum(old + weight, 20.0)
