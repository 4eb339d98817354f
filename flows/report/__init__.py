"""The life-cycle report of a run (`report.html`), its `summary.md` and the monitor's page.

Begin with `page.py`: it renders the data that `report_data.py` gathers. Each `*_figures.py` has
one function per chart; a chart always comes with a caption, a text alternative and a table. The
page's template, style and script are `page.html.j2`, `page.css` and `page.js`. Everything works
without a network. May import features, models, campaigns and `flows.services`.
"""
