"""The page, for jinja2 with autoescape: one file, without scripts, that loads nothing."""

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #595959; --paper: #ffffff;
  --line: #c8c8c8; --tint: #f3f5f8; --link: #00538a; --warn: #fff4d6; --warn-line: #b97b00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --soft: #b0b0b0; --paper: #16181b; --line: #45494f; --tint: #202429;
    --link: #7cc0f0; --warn: #3a2f12; --warn-line: #d9a441; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 60rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.55 system-ui, "Segoe UI", "Helvetica Neue", sans-serif; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.35rem; margin: 3rem 0 0.75rem; padding-top: 0.75rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.08rem; margin: 2rem 0 0.5rem; }
a { color: var(--link); }
code { font: 0.88em ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
nav ul { margin: 0; padding-left: 1.2rem; columns: 16rem; }
.soft, figcaption, .remarks { color: var(--soft); font-size: 0.92rem; }
.warning { background: var(--warn); border-left: 4px solid var(--warn-line);
  padding: 0.6rem 1rem; margin: 1.25rem 0; }
.warning p { margin: 0 0 0.3rem; } .warning ul { margin: 0; padding-left: 1.2rem; }
.scroll { overflow-x: auto; margin: 0.5rem 0; }
table { border-collapse: collapse; border-top: 2px solid var(--ink);
  border-bottom: 2px solid var(--ink); font-variant-numeric: tabular-nums; font-size: 0.95rem; }
caption { text-align: left; padding-bottom: 0.5rem; caption-side: top; }
th, td { padding: 0.28rem 0.7rem; text-align: right; vertical-align: baseline; }
th[scope=row], th.corner, .text td, .text th { text-align: left; font-weight: normal; }
thead th { border-bottom: 1px solid var(--ink); font-weight: 600; }
thead th.group { border-bottom: 1px solid var(--line); text-align: center; }
tbody tr + tr > * { border-top: 1px solid var(--line); }
td.ours { background: var(--tint); }
td.ours b { font-weight: 600; }
sup { line-height: 0; font-size: 0.7em; } sup a { text-decoration: none; }
figure { margin: 1.25rem 0; break-inside: avoid; }
figure img { max-width: 100%; height: auto; background: #ffffff; padding: 0.5rem;
  border-radius: 4px; display: block; }
figure.column img { width: 34rem; } figure.page img { width: 58rem; }
details > summary { cursor: pointer; margin: 0.75rem 0; }
.text td { overflow-wrap: anywhere; min-width: 3.5rem; font-size: 0.88rem; }
.numbers th, .numbers td { padding-inline: 0.5rem; }
.numbers td, .numbers th[scope=row] { white-space: nowrap; }
.text ul { margin: 0; padding-left: 1rem; }
@media print {
  :root { --ink: #000000; --soft: #333333; --paper: #ffffff; --line: #999999; --tint: #f3f3f3;
    --link: #000000; --warn: #ffffff; --warn-line: #000000; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  h2 { break-after: avoid; } table { break-inside: avoid; } .scroll { overflow: visible; }
  #results table, details table { break-inside: auto; font-size: 7.5pt; }
  a { text-decoration: none; }
}
"""

# Of every page.
# A `panels.Panel` as `page.figure` gives it.
FIGURE = """<figure class="{{ figure.width }}">
<img src="{{ figure.source }}" alt="{{ figure.alt }}">
<figcaption><strong>{{ figure.title }}.</strong> {{ figure.caption }}
<code>figures/{{ figure.name }}</code></figcaption>
</figure>
"""

HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{{ generator }}
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>{{ style }}</style>
</head>
<body>
"""

PAGE = (
    HEAD
    + """<header>
<h1>{{ title }}</h1>
<p>Made from {{ results|length }} evaluation{{ "" if results|length == 1 else "s" }} in
{% for run in runs %}<code>{{ run }}</code>{{ ", " if not loop.last }}{% endfor %}.
The paper is <cite>Relational Long Short-Term Memory for Video Action Recognition</cite>,
arXiv 1811.07059; its figures stand beside ours. A number in brackets leads from a figure of ours to
<a href="#results">the evaluation behind it</a>.</p>
<ul>
{% for set in sets %}
<li>{{ set.title }}: data set <code>{{ set.dataset }}</code> in the manifest,
{{ set.videos }} test videos, {{ set.classes }} classes, {{ set.results }}
result{{ "" if set.results == 1 else "s" }}</li>
{% else %}
<li>No result on a test set: the tables are empty.</li>
{% endfor %}
{% for protocol, numbers in protocols %}
<li>Protocol {{ protocol }}: result {{ numbers }}</li>
{% endfor %}
</ul>
{% if deviations %}
<div class="warning" role="note">
<p><strong>Not had as the paper's figures were:</strong></p>
<ul>
{% for text, numbers in deviations %}
<li>{{ text }}: result {{ numbers }}</li>
{% endfor %}
</ul>
</div>
{% endif %}
</header>
<nav aria-label="Contents">
<ul>
{% for table in tables %}
<li><a href="#{{ table.name }}">{{ table.title }}</a></li>
{% endfor %}
{% for set in sets %}
<li><a href="#{{ set.name }}">Figures: {{ set.title }}</a></li>
{% endfor %}
<li><a href="#results">Results</a></li>
</ul>
</nav>
<main>
<h2 id="tables">Tables</h2>
{% for table in tables %}
<section id="{{ table.name }}">
<div class="scroll" tabindex="0" role="region" aria-label="{{ table.title }}">
<table>
<caption><strong>{{ table.title }}.</strong> {{ table.caption }} Percent.</caption>
<thead>
{% if table.is_published %}
<tr><th scope="col" class="corner" rowspan="2">{{ table.corner }}</th>
{% for column in table.columns %}
<th scope="colgroup" class="group" colspan="2">{{ column }}</th>
{% endfor %}
</tr>
<tr>
{% for column in table.columns %}
<th scope="col">paper</th><th scope="col">ours</th>
{% endfor %}
</tr>
{% else %}
<tr><th scope="col" class="corner">{{ table.corner }}</th>
{% for column in table.columns %}
<th scope="col">{{ column }}</th>
{% endfor %}
</tr>
{% endif %}
</thead>
<tbody>
{% for row in table.rows %}
<tr><th scope="row">{{ row.label }}</th>
{% for paper, ours, numbers in row.cells %}
{% if table.is_published %}
<td>{{ paper }}</td>
{% endif %}
<td class="ours">{% if ours %}<b>{{ ours }}</b> <sup>[
{%- for number in numbers -%}
<a href="#result-{{ number }}">{{ number }}</a>{{ ", " if not loop.last }}
{%- endfor -%}
]</sup>{% endif %}</td>
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table>
</div>
{% if table.remarks %}
<ul class="remarks">
{% for text, numbers in table.remarks %}
<li>{% if numbers %}Result {{ numbers }}: {% endif %}{{ text }}.</li>
{% endfor %}
</ul>
{% endif %}
</section>
{% endfor %}
{% for set in sets %}
<section id="{{ set.name }}">
<h2>Figures: {{ set.title }}</h2>
{% for text in set.remarks %}
<p class="soft">{{ text }}</p>
{% endfor %}
{% for figure in set.figures %}
"""
    + FIGURE
    + """{% endfor %}
<details>
<summary>{{ set.measure }} of each class, every result
(<code>tables/{{ set.per_class.name }}</code>)</summary>
<div class="scroll" tabindex="0" role="region" aria-label="Each class of {{ set.title }}">
<table>
<caption>{{ set.measure }} of each class, percent. Columns: number of the result.</caption>
<thead><tr>
{% for head in set.per_class.rows[0] %}
<th scope="col"{% if loop.first %} class="corner"{% endif %}>{{ head }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in set.per_class.rows[1:] %}
<tr><th scope="row">{{ row[0] }}</th>{% for cell in row[1:] %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
</div>
</details>
</section>
{% endfor %}
<section id="results">
<h2>Results</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Results">
<table class="text">
<caption>Every evaluation that was read, and where its figure stands
(<code>tables/results.csv</code>).</caption>
<thead><tr>
{% for head in results_head %}
<th scope="col">{{ head }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for result in results %}
<tr id="result-{{ result.number }}"><th scope="row">{{ result.number }}</th>
<td>{{ result.set }}</td>
<td>{{ result.model }}, {{ result.stream }}</td>
<td>{{ result.percent }} ({{ result.measure }})</td>
<td>{{ result.videos }}</td>
<td>
<ul>
{% for part in result.parts %}
<li>
{% if result.parts|length > 1 %}
{{ part.weight }} of {{ part.model }}, {{ part.stream }}:
{% endif %}
run <code>{{ part.run }}</code>, {{ part.backbone }}, cut {{ part.cut }},
T = {{ part.num_segments }}, protocol {{ part.protocol }}</li>
{% endfor %}
</ul>
</td>
<td><code>{{ result.path }}</code></td>
<td>{{ result.used }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
</section>
</main>
</body>
</html>
"""
)
