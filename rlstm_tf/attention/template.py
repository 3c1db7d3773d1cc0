"""The page, for jinja2 with autoescape: one file that loads nothing."""

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #595959; --paper: #ffffff;
  --line: #d0d3d8; --tint: #f3f5f8; --strong: #00538a; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --soft: #b0b4ba; --paper: #14161a; --line: #3a3f47; --tint: #1e2228;
    --strong: #7cc0f0; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 3rem; max-width: 86rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.5 system-ui, "Segoe UI", "Helvetica Neue", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 0.6rem; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 0; }
p { margin: 0 0 0.6rem; }
code, kbd { font: 0.88em ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
kbd { border: 1px solid var(--line); border-radius: 0.25rem; padding: 0 0.3rem;
  background: var(--tint); }
var { font-family: "STIX Two Text", "DejaVu Serif", Georgia, serif; }
sub { line-height: 0; font-size: 0.72em; }
.math { white-space: nowrap; }
.soft { color: var(--soft); font-size: 0.92rem; }
header { display: grid; grid-template-columns: minmax(0, 1fr) minmax(14rem, 20rem);
  gap: 1rem 2.5rem; margin-bottom: 1.25rem; }
.intro { max-width: 46rem; }
.classes { margin: 0; padding: 0; list-style: none; font-size: 0.92rem; }
.classes li { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0 0.75rem; }
.classes .name { overflow-wrap: anywhere; }
.classes .name, .classes .odds { font-variant-numeric: tabular-nums; }
.classes .track { grid-column: 1 / -1; height: 0.3rem; margin: 0.1rem 0 0.45rem;
  border-radius: 0.15rem; background: var(--line); overflow: hidden; }
.classes .share { display: block; height: 100%; background: var(--strong); }
.classes li:first-child { font-weight: 600; }
fieldset { border: 0; margin: 0 0 1rem; padding: 0; display: flex; flex-wrap: wrap; gap: 0.4rem; }
legend { float: left; padding: 0.35rem 0.5rem 0.35rem 0; font-weight: 600; }
.gate { position: relative; }
.gate input { position: absolute; inset: 0; margin: 0; opacity: 0; cursor: pointer; }
.gate span { display: block; padding: 0.35rem 0.8rem; border: 1px solid var(--line);
  border-radius: 2rem; background: var(--tint); }
.gate input:checked + span { background: var(--strong); border-color: var(--strong);
  color: var(--paper); }
.gate input:focus-visible + span { outline: 3px solid var(--strong); outline-offset: 2px; }
.stage { display: grid; grid-template-columns: minmax(0, 1fr) 21rem; gap: 1.25rem 1.75rem;
  align-items: start; margin-bottom: 1.25rem; }
.strip { display: grid; grid-template-columns: repeat(var(--across), minmax(0, 1fr));
  gap: 0.5rem 0.9rem; max-width: calc(var(--across) * 22rem); }
.frame { margin: 0; }
.picture { position: relative; border-radius: 0.35rem; overflow: hidden;
  outline: 2px solid transparent; outline-offset: 2px; }
.picture img { display: block; width: 100%; height: auto; }
.small .picture img { image-rendering: pixelated; }
.frame[data-is=now] .picture { outline-color: var(--spatial); }
.frame[data-is=before] .picture { outline-color: var(--temporal); }
.frame[data-is=later] img { filter: saturate(0.35) brightness(0.85); }
.flow .frame[data-is=now] img, .flow .frame[data-is=before] img { filter: grayscale(1); }
.cells { position: absolute; inset: 0; display: grid; cursor: crosshair;
  grid-template: repeat(var(--rows), 1fr) / repeat(var(--columns), 1fr); }
.cells [role=row] { display: contents; }
.cells [role=gridcell] { position: relative; }
.cells [role=gridcell]:hover { box-shadow: inset 0 0 0 1px #ffffff; }
.cells [aria-selected=true], .cells .same { z-index: 1; }
.cells [aria-selected=true] { outline: none; box-shadow: 0 0 0 2px #ffffff, 0 0 0 4px #000000; }
.cells [aria-selected=true]:focus-visible { box-shadow: 0 0 0 3px #ffffff, 0 0 0 5px #000000,
  0 0 0 8px var(--strong); }
.cells .same { outline: 2px dashed #ffffff; outline-offset: -1px; }
figcaption { margin-top: 0.4rem; font-size: 0.88rem; }
.frame .says { display: block; width: fit-content; height: 1.4rem; line-height: 1.4rem;
  margin-top: 0.15rem; font-weight: 600; border-radius: 0.2rem; padding: 0 0.35rem;
  color: #000000; }
.frame[data-is=now] .says { background: var(--spatial); }
.frame[data-is=before] .says { background: var(--temporal); }
.told { border: 1px solid var(--line); border-radius: 0.5rem; background: var(--tint);
  padding: 0.9rem 1.1rem; position: sticky; top: 1rem; }
#chosen { font-size: 1.1rem; font-weight: 600; margin: 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr));
  gap: 1.25rem 2.5rem; margin-top: 0.9rem; }
.card h2::before { content: ""; display: inline-block; width: 0.8rem; height: 0.8rem;
  border-radius: 0.2rem; margin-right: 0.5rem; background: var(--own); }
.card p { margin: 0.15rem 0; }
#spatial { --own: var(--spatial); } #temporal { --own: var(--temporal); }
#temporal.none .looks, #temporal.none .spread, #temporal.none .scale { display: none; }
.scale { display: grid; grid-template-columns: auto 1fr auto; gap: 0.6rem; align-items: center;
  font-size: 0.85rem; color: var(--soft); margin-top: 0.5rem; font-variant-numeric: tabular-nums; }
.bar { position: relative; height: 0.7rem; border-radius: 0.2rem; background-color: #9a9a9a; }
.even { position: absolute; top: -0.2rem; bottom: -0.2rem; width: 2px; margin-left: -1px;
  background: var(--ink); }
footer { border-top: 1px solid var(--line); padding-top: 0.75rem; }
@media (max-width: 64rem) {
  .stage { grid-template-columns: minmax(0, 1fr); }
  .told { position: static; }
}
@media (max-width: 48rem) {
  header { grid-template-columns: minmax(0, 1fr); }
  .strip { grid-template-columns: repeat(2, minmax(0, 1fr)); }
}
@media (max-width: 20rem) { .strip { grid-template-columns: minmax(0, 1fr); } }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="rlstm_tf.explain">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src
 'unsafe-inline'; script-src 'sha256-{{ script_sha256 }}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}: relations</title>
<style>{{ style }}</style>
</head>
<body>
<header>
<div class="intro">
<h1><bdi>{{ title }}</bdi></h1>
<p>Each gate of a Relational LSTM is the sum of two relations (eq. 3): in the spatial one,
<span class="math">r(<var>X<sub>t</sub></var>, <var>X<sub>t</sub></var>)</span>, every position
<var>i</var> of a frame looks at all positions <var>j</var> of the same frame, in the temporal one,
<span class="math">r(<var>X<sub>t</sub></var>, <var>H<sub>t&minus;1</sub></var>)</span>, at all
positions of the state that sums up the frames before. What lights up is the weight
<var>w<sub>ij</sub></var> of eq. 2, how much of what stands at <var>j</var> reaches the gate at
<var>i</var>: <strong>click a cell <var>i</var></strong> in any frame.</p>
<p class="soft">Keys, once a cell is chosen: <kbd>←</kbd> <kbd>→</kbd> <kbd>↑</kbd> <kbd>↓</kbd> the
cell, <kbd>Page&nbsp;Up</kbd> <kbd>Page&nbsp;Down</kbd> or <kbd>[</kbd> <kbd>]</kbd> the frame,
<span class="math">{% for gate in gates %}<kbd>{{ gate.key }}</kbd> {% endfor %}</span>
the gate.</p>
<noscript><p><strong>The cells need JavaScript, which is switched off here.</strong></p></noscript>
</div>
<section aria-label="Classes">
<p class="soft">What the network takes it for</p>
<ol class="classes">
{% for name, odds in classes %}
<li><span class="name"><bdi>{{ name }}</bdi></span>
<span class="odds">{{ "%.1f" % (100 * odds) }}&nbsp;%</span>
<span class="track"><span class="share" style="width: {{ "%.1f" % (100 * odds) }}%"></span></span>
</li>
{% endfor %}
</ol>
</section>
</header>
<main id="view" style="--across: {{ across }}; --rows: {{ data.rows }};
 --columns: {{ data.columns }}; --spatial: {{ spatial }}; --temporal: {{ temporal }}">
<fieldset>
<legend>Gate</legend>
{% for gate in gates %}
<label class="gate" title="{{ gate.what }}"><input type="radio" name="gate" value="{{ gate.key }}"
 data-name="{{ gate.name }}" data-what="{{ gate.what }}"><span><b>{{ gate.key }}</b>
{{ gate.name }}</span></label>
{% endfor %}
</fieldset>
<div class="stage">
<div class="strip{{ " small" if is_small }}{{ " flow" if is_flow }}">
{% for frame in frames %}
<figure class="frame">
<div class="picture">
<img src="{{ frame.source }}" width="{{ side }}" height="{{ side }}"
 alt="Frame {{ loop.index }}: {{ frame.time }}">
<div class="cells" role="grid" aria-label="Cells of frame {{ loop.index }} of {{ frames|length }}">
</div>
</div>
<figcaption><b>{{ loop.index }}</b>&ensp;<span class="soft">{{ frame.time }}</span>
<span class="says"></span></figcaption>
</figure>
{% endfor %}
</div>
<div class="told" role="status" aria-atomic="true">
<p id="chosen"></p>
<p class="soft" id="what"></p>
<div class="cards">
{% for kind in kinds %}
<section class="card" id="{{ kind.id }}">
<h2>{{ kind.title }}</h2>
<p class="soft"{% if loop.last %} id="past"{% endif %}>{{ kind.where }}</p>
<p class="looks"></p>
<p class="spread soft"></p>
<div class="scale" aria-hidden="true"><span class="low"></span>
<div class="bar"><span class="even" title="{{ even }}"></span></div><span class="high"></span></div>
</section>
{% endfor %}
</div>
</div>
</div>
</main>
<footer class="soft">
<p>{{ scale }} A cell is one position of the network's {{ data.rows }} &times; {{ data.columns }}
map, which has seen more of the frame than the cell covers. The weights say where a gate looks, not
why the class was chosen.</p>
<p>Run <code>{{ run }}</code>, checkpoint <code>{{ checkpoint }}</code>, network {{ network }}. The
Relational LSTM is that of arXiv 1811.07059.</p>
</footer>
<script type="application/json" id="data">{{ data|tojson }}</script>
<script>{{ script }}</script>
</body>
</html>
"""
