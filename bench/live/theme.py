"""How every Gradio page of the suite looks: the rater's, the administrator's, the live page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gradio as gr


def theme() -> gr.themes.Base:
    """Gradio's default in blue and gray with the system's fonts; text has a contrast of at least 4.5 to 1."""
    import gradio as gr

    look = gr.themes.Default(
        primary_hue="blue",
        secondary_hue="blue",
        neutral_hue="gray",
        radius_size="lg",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        body_background_fill="*neutral_100",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        border_color_primary="*neutral_300",
        border_color_primary_dark="*neutral_700",
        color_accent="*primary_600",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        error_text_color="#a3220e",
        error_text_color_dark="#ffab9c",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        link_text_color_hover="*primary_800",
        link_text_color_hover_dark="*primary_200",
        link_text_color_visited="*primary_700",
        link_text_color_visited_dark="*primary_300",
    )
    # Gradio has no setting for it, but writes every `_dark` attribute into the dark style sheet.
    look.color_accent_dark = "*primary_400"  # pyright: ignore[reportAttributeAccessIssue]
    return look
