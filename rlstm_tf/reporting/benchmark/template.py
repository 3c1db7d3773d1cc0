"""The page of the relational benchmark, for `page.fill`."""

from rlstm_tf.reporting.template import FIGURE, HEAD

PAGE = (
    HEAD
    + """<header>
<h1>{{ title }}</h1>
<p>The relational benchmark: {{ networks }} trained network{{ "" if networks == 1 else "s" }} of
<code>{{ path }}</code>. Its classes come in pairs, and pairs in groups by what tells the two
classes of a pair apart:</p>
<ul>
{% for group, meaning in groups %}
<li>{{ group }}: {{ meaning }}</li>
{% endfor %}
</ul>
</header>
<nav aria-label="Contents">
<ul>
{% for table in tables %}
<li><a href="#{{ table.name }}">{{ table.title }}</a></li>
{% endfor %}
<li><a href="#origin">Where the numbers come from</a></li>
</ul>
</nav>
<main>
{% for table in tables %}
<section id="{{ table.name }}">
<h2>{{ table.title }}</h2>
{% for rows in table.cells %}
<div class="scroll" tabindex="0" role="region"
  aria-label="{{ table.title }}, {{ "pairs" if loop.index0 else "groups" }}">
<table class="numbers">
<caption>{{ "The same by pair." if loop.index0 else caption }}
<code>tables/{{ table.name }}{{ "_pairs" if loop.index0 }}.md</code></caption>
<thead><tr>
{% for head in rows[0] %}
<th scope="col"{% if loop.first %} class="corner"{% endif %}>{{ head }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in rows[1:] %}
<tr><th scope="row">{{ row[0] }}</th>{% for cell in row[1:] %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
</div>
{% endfor %}
{% if table.sentences %}
<p>{{ lead_caption }} <code>tables/leads.md</code></p>
<ul>
{% for sentence in table.sentences %}
<li>{{ sentence }}</li>
{% endfor %}
</ul>
{% endif %}
{% for figure in table.figures %}
"""
    + FIGURE
    + """{% endfor %}
</section>
{% endfor %}
<section id="origin">
<h2>Where the numbers come from</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Where the numbers come from">
<table class="text">
<thead><tr><th scope="col">seed</th><th scope="col">setting</th><th scope="col">commit</th>
<th scope="col">machine</th><th scope="col">command</th></tr></thead>
<tbody>
{% for row in rows %}
<tr><th scope="row">{{ row.seed }}</th><td>{{ row.setting }}</td><td>{{ row.commit }}</td>
<td>{{ row.machine }}</td><td><code>{{ row.command }}</code></td></tr>
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
