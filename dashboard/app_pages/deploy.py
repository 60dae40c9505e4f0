"""The deployment check: what each file weighs, how it classifies, whether the runtime takes it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import load, settings, show
from dashboard.url import PageState
from tfsparse.charts import export, inside
from tfsparse.charts.deploy import COLUMNS, deploy_chart, deploy_rows, deploy_table, read_deploy
from tfsparse.charts.style import finish
from tfsparse.charts.words import markdown_text
from tfsparse.errors import UserError, one_line

COMMAND = (
    "python -m tfsparse.export --run runs/pruned_80/seed_0\n"
    "python -m tfsparse.check runs/pruned_80/seed_0/export"
)


def main() -> None:
    """Draw the page."""
    root = settings.runs_folder()
    st.title("Deploy")
    names = load.deploy_files(str(root))
    if not names:
        show.nothing_yet(root, "deployment checks", COMMAND)
        return
    state = PageState("deploy")
    show.not_found(state.unknown("check", names))
    state.one("check", names)
    chosen = st.selectbox("Check", names, key=state.key("check"))
    state.publish(check=chosen)
    folder = (root / chosen).parent
    try:
        if folder != root:
            inside.inside(root, folder.relative_to(root).as_posix())
        report = read_deploy(inside.own_file(folder, Path(chosen).name))
        rows, table = deploy_rows(report), deploy_table(report)
    except UserError as error:
        show.problem(one_line(error).replace(f"{folder}/", ""))
        return
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        show.problem(f"{chosen}: holds an unreadable variant ({one_line(error)})")
        return
    st.dataframe(pd.DataFrame(rows, columns=list(COLUMNS)), hide_index=True, key="deploy:table")
    for name, reason in zip(table["variant"], table["reasons"], strict=True):
        if reason:
            show.problem(f"{name}: {reason}")
    figure = finish(
        deploy_chart(report, width=300), description="size, accuracy and latency of each file"
    )
    show.chart(figure, "deploy:chart")
    if report.get("statement"):
        st.caption(markdown_text(report["statement"]))
    st.download_button("CSV", export.to_csv(table), "deploy.csv", "text/csv", key="deploy:csv")


main()
