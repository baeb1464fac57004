"""The text a student model is trained on and asked with (as in the release: its corpora's
`input` column and its evaluation prompts `jiuzhang` and `jiuzhang_tora`)."""

QUESTION = {
    "cot": "## Question\n{question}\n\n## Solution\n",
    "tool": "## Question\n{question}\n\n## Code Solution\n",
}


def question_text(question: str, mode: str) -> str:
    """The prompt of a student: `question` under the heading of `mode` (cot | tool)."""
    return QUESTION[mode].replace("{question}", question.strip())
