"""The library's own tasks on models without textures: the same physics, a hundredth of the time and memory.

Decoding PNG textures takes nearly all of a reset (0.3 s and 191 MB per compiled model); nothing but a picture depends
on them. `njmax` in the library's XML also reserves 473 MB of address space for every world.
"""

import copy
import functools
import json
import re
import types
from pathlib import Path
from typing import IO, Any
from xml.sax.saxutils import quoteattr

import xmltodict
import yaml

from mode_imitation.worlds.safety.shim import load
from mode_imitation.worlds.safety.tasks import parse_env_id

ARENA_MEMORY = "16M"
"""MuJoCo's scratch memory per world, in its own notation; level 2 uses about 1 MB of it."""

PICTURES = ("texture", "material")
_SPECIAL = re.compile(r'[&<>"\n\t]')


def light_xml(tree: dict[str, Any]) -> str:
    """A MuJoCo model as XML, without textures and materials and with a small arena.

    Args:
        tree: as `xmltodict.parse` gives it: attributes begin with @, repeated elements are lists.
    """
    return "".join([_element(tag, content) for tag, content in tree.items() if tag not in PICTURES])


def _element(tag: str, content: Any) -> str:
    if isinstance(content, list):
        return "".join([_element(tag, one) for one in content])
    content = {"@memory": ARENA_MEMORY} if tag == "size" else content or {}
    attributes = {key[1:]: str(value) for key, value in content.items() if key[0] == "@" and key != "@material"}
    quoted = [f" {key}={quoteattr(v)}" if _SPECIAL.search(v) else f' {key}="{v}"' for key, v in attributes.items()]
    children = {key: value for key, value in content.items() if key[0] != "@"}
    return f"<{tag}{''.join(quoted)}>{light_xml(children) if children else ''}</{tag}>"


def build_task(env_id: str, *, light: bool = True, **options: Any) -> Any:
    """One safety_gymnasium Builder.

    Args:
        env_id: a navigation task.
        light: compile models without textures; False is the untouched library.
        options: render_mode, width, height, camera_name, ... of the library's Builder.

    Raises:
        UserError: unknown task, or no simulator.
    """
    robot = parse_env_id(env_id).robot
    load()
    from safety_gymnasium.builder import Builder

    builder = Builder(env_id, config={"agent_name": robot}, **options)
    if light:
        task: Any = builder.task
        robot_alone = task.agent.engine
        # The library makes its world in the first reset unless there is one, and then only builds it.
        task.world = _light_world_class()(task.agent, task._obstacles)
        task.world.engine.update(robot_alone.model, robot_alone.data)  # until then, as in the library
    return builder


@functools.cache
def _light_world_class() -> type:
    from safety_gymnasium import world

    mujoco: Any = world.mujoco
    # The library's own methods, word for word, with other helpers among their globals: nothing in the library's modules
    # changes, so an untouched environment can stand beside a light one. `parse` copies the whole configuration, which
    # `build` then reads at once: a shallow copy does.
    substitutes = {**vars(world), "xmltodict": _LightXml, "yaml": _CachedYaml, "deepcopy": copy.copy}

    class LightWorld(world.World):
        parse = types.FunctionType(world.World.parse.__code__, substitutes, "parse")
        build_anew = types.FunctionType(world.World.build.__code__, substitutes, "build")
        built: tuple[str, Any] = ("", None)
        """What was built last and, once that was wanted again, its model from before anything was changed in it."""

        def build(self) -> None:
            """The library's own, but where a layout is driven again and again, by mode after mode say."""
            wanted = json.dumps(self.config, default=lambda array: array.tolist())  # to the last bit
            before, model = self.built
            if before == wanted and model is not None:
                model = copy.copy(model)
                data = mujoco.MjData(model)
                mujoco.mj_forward(model, data)
                self.engine.update(model, data)
                return
            self.build_anew()
            # A copy costs a tenth of a reset: not for layouts that are driven once, as in `generate`.
            self.built = wanted, copy.copy(self.model) if before == wanted else None

    return LightWorld


class _LightXml:
    """xmltodict, but quicker: its own writer takes half of a reset, and the robot's file is the same in each."""

    unparse = staticmethod(light_xml)

    @staticmethod
    def parse(xml: str) -> dict[str, Any]:
        # Only the robots' own files are longer than this.
        return json.loads(_parse_robot(xml)) if len(xml) > 1500 else xmltodict.parse(xml)


@functools.lru_cache(maxsize=8)
def _parse_robot(xml: str) -> str:
    return json.dumps(xmltodict.parse(xml))


class _CachedYaml:
    """The library parses its table of assets in every reset, and only reads it."""

    FullLoader = yaml.FullLoader

    @staticmethod
    def load(file: IO[str], Loader: type) -> Any:
        return _parse_yaml(Path(file.name))


@functools.cache
def _parse_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
