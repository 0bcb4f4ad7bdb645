/** The style of a report: for a screen, light or dark, and for paper. */

export const STYLE = `
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5a636e; --line: #d8dde3; --paper: #fff; --well: #1f7a4d; --bad: #b3261e; --allowed: #3b6ea8; --denied: #c2562d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #a3adb8; --line: #363d46; --paper: #15181c; --well: #62c193; --bad: #f2857d; --allowed: #79a9dd; --denied: #e58a63; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2.5rem 1.5rem 4rem; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
h1 { margin: 0 0 .25rem; font-size: 1.9rem; font-weight: 600; letter-spacing: -.01em; }
h2 { margin: 3rem 0 1rem; padding-bottom: .35rem; border-bottom: 1px solid var(--line); font-size: 1.25rem; font-weight: 600; }
h3 { margin: 1.75rem 0 .5rem; font-size: 1rem; font-weight: 600; }
header p { margin: 0; color: var(--soft); }
.product { text-transform: uppercase; letter-spacing: .08em; font-size: .8rem; }
.verdict { margin: 1.75rem 0; padding: .85rem 1.1rem; border-left: 4px solid; }
.verdict p { margin: 0 0 .5rem; }
.well { border-color: var(--well); }
.bad { border-color: var(--bad); color: var(--bad); }
.cards { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1rem; margin: 1.75rem 0 1rem; }
.cards div { display: flex; flex-direction: column; padding: .85rem 1rem; border: 1px solid var(--line); border-radius: .5rem; }
.cards strong { font-size: 1.5rem; font-weight: 600; }
.cards small, .more, figcaption, footer { color: var(--soft); font-size: .85rem; }
figure { margin: 1rem 0; }
figcaption span { display: inline-block; width: .7em; height: .7em; margin: 0 .2em 0 .8em; border-radius: 2px; }
figcaption .allowed { background: var(--allowed); } figcaption .denied { background: var(--denied); }
svg { display: block; width: 100%; height: auto; font-size: 11px; fill: var(--soft); }
svg line { stroke: var(--line); }
svg .allowed { fill: var(--allowed); } svg .denied { fill: var(--denied); }
svg.bar { width: 100%; min-width: 4rem; height: .65rem; }
.columns { display: grid; grid-template-columns: 1fr 1fr; gap: 0 2rem; align-items: start; }
table { width: 100%; margin: 1rem 0; border-collapse: collapse; }
caption { padding: .5rem 0; text-align: left; font-weight: 600; }
th { text-align: left; font-weight: 500; color: var(--soft); }
th, td { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
th.number, .number { text-align: right; white-space: nowrap; }
code { font: .85em ui-monospace, monospace; overflow-wrap: anywhere; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); }
.signatures { display: grid; grid-template-columns: 2fr 1fr 2fr; gap: 2rem; margin-top: 3.5rem; }
.signatures p { margin: 0; padding-top: .3rem; border-top: 1px solid var(--ink); }
@media (max-width: 40rem) { .cards, .columns { grid-template-columns: 1fr 1fr; } .columns { grid-template-columns: 1fr; } }
@page { size: A4; margin: 16mm; }
@media print {
  :root { --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --well: #1f7a4d; --bad: #b3261e; --allowed: #3b6ea8; --denied: #c2562d; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  h2, h3, caption { break-after: avoid; } tr, figure, .cards, .verdict, .signatures { break-inside: avoid; } thead { display: table-header-group; }
}
`;
