"""YAML without its silent traps: a key that is there twice is an error, not the last of both."""

import yaml


class _StrictLoader(yaml.SafeLoader):
    """Reads plain values, and refuses a key that stands twice in one mapping."""

    def construct_mapping(self, node, deep=False):
        first_lines: dict = {}
        # Before merge keys ("<<") are resolved: what they bring may be overridden.
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.endswith(":merge"):
                continue
            key = self.construct_object(key_node)
            line = key_node.start_mark.line + 1
            if key in first_lines:
                raise ValueError(
                    f"the key '{key_node.value}' is there twice, in lines {first_lines[key]} and "
                    f"{line}; leave one out"
                )
            first_lines[key] = line
        return super().construct_mapping(node, deep)


def parse(text: str):
    """Returns the values of a YAML text.

    Raises:
        yaml.YAMLError: If it is none.
        ValueError: If a key stands twice in one mapping; says where.
    """
    return yaml.load(text, _StrictLoader)


def quote_it(value) -> str:
    """Returns ``"; quote it, ..."`` for a value that YAML took for no text, or ``""``."""
    if isinstance(value, bool):
        return "; YAML reads yes, no, on and off as true and false: quote it, as in 'NO'"
    if isinstance(value, int | float) or hasattr(value, "isoformat"):
        return f"; if it is meant as text, quote it: '{value}'"
    return ""
