"""Prompts: templates, versions, labels, files, live splits."""

from aikit.prompts.diffs import Diff
from aikit.prompts.library import Prompts
from aikit.prompts.lint import Finding
from aikit.prompts.split import Split
from aikit.prompts.templates import render
from aikit.prompts.variables import Variable
from aikit.prompts.versions import PromptVersion

__all__ = ["Diff", "Finding", "PromptVersion", "Prompts", "Split", "Variable", "render"]
