"""Ray casting: intersects rays from the origin with cubes and spheres."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

Rays = Float32[np.ndarray, "ray 3"]
Distances = Float32[np.ndarray, "scene ray"]
Normals = Float32[np.ndarray, "scene ray 3"]


@dataclass(frozen=True)
class Solids:
    """One cube or sphere in each of several scenes.

    Attributes:
        is_sphere: Whether it is a sphere.
        centre: Position in metres.
        radius: Radius of the sphere or half the edge of the cube, in metres.
        rotation: Axes of the cube as columns.
    """

    is_sphere: Bool[np.ndarray, " scene"]
    centre: Float32[np.ndarray, "scene 3"]
    radius: Float32[np.ndarray, " scene"]
    rotation: Float32[np.ndarray, "scene 3 3"]

    def only(self, scene: int) -> "Solids":
        """Returns the solid of one scene."""
        rows = slice(scene, scene + 1)
        return Solids(self.is_sphere[rows], self.centre[rows], self.radius[rows], self.rotation[rows])


def cast(rays: Rays, solids: Solids) -> tuple[Distances, Normals]:
    """Returns the distance at which each ray enters the solid of each scene, and the normal there.

    Args:
        rays: Directions of length 1.
        solids: One solid for each scene; none of them holds the origin.

    Returns:
        Distances, infinite for a ray that misses, and outward normals of length 1, zero for such a ray.
    """
    shape = (len(solids.radius), len(rays))
    distance, normal = np.full(shape, np.inf, np.float32), np.zeros((*shape, 3), np.float32)
    around = solids.radius * np.where(solids.is_sphere, 1.001, 1.001 * np.sqrt(3))  # of a bounding sphere
    close = (solids.centre @ rays.T) ** 2 >= ((solids.centre**2).sum(1) - around**2)[:, None]
    for scene in range(shape[0]):
        chosen = np.flatnonzero(close[scene])  # skips most rays: the great majority miss
        one = solids.only(scene)
        found = (cast_spheres if solids.is_sphere[scene] else cast_cubes)(rays[chosen], one)
        distance[scene, chosen], normal[scene, chosen] = found[0][0], found[1][0]
    normal[~np.isfinite(distance)] = 0
    return distance, normal


def cast_spheres(rays: Rays, solids: Solids) -> tuple[Distances, Normals]:
    """Casts rays at spheres: the nearer root of |t ray - centre| = radius."""
    along = solids.centre @ rays.T
    excess = (solids.centre**2).sum(1) - solids.radius**2
    discriminant = along**2 - excess[:, None]
    distance = along - np.sqrt(np.maximum(discriminant, np.float32(0)))
    hit = (discriminant >= 0) & (distance > 0)
    offset = distance[..., None] * rays - solids.centre[:, None]
    normal = offset / solids.radius[:, None, None]
    return np.where(hit, distance, np.float32(np.inf)), normal


def cast_cubes(rays: Rays, solids: Solids) -> tuple[Distances, Normals]:
    """Casts rays at cubes (slab method): a ray hits the cube where it enters the last of the three slabs."""
    origin = -np.einsum("sij,si->sj", solids.rotation, solids.centre)[:, None]
    slope = np.einsum("sij,ri->srj", solids.rotation, rays)
    slope = np.where(np.abs(slope) < 1e-7, np.float32(1e-7), slope)  # parallel to a face
    half = solids.radius[:, None, None]
    near = (-np.sign(slope) * half - origin) / slope
    far = (np.sign(slope) * half - origin) / slope
    entry, leave = near.max(-1), far.min(-1)
    hit = (entry <= leave) & (entry > 0)
    axis = near.argmax(-1)[..., None]
    facing = -np.sign(np.take_along_axis(slope, axis, -1))
    columns = np.swapaxes(solids.rotation, 1, 2)  # (scene, axis, coordinate)
    normal = facing * np.take_along_axis(columns, axis, 1)
    return np.where(hit, entry, np.float32(np.inf)), normal
