/// Looks of the report page.
enum ReportStyle {
    static let css = """
        :root {
          color-scheme: light dark;
          --page: #f6f6f4; --card: #ffffff; --ink: #1c1d21; --dim: #666a73; --line: #e2e2de;
          --before: #c3c6cd; --after: #2f6fde; --good: #1d8a57; --fair: #b97400; --poor: #cc3b32;
          --warn: #fff6e0; --warn-line: #ecd596;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --page: #131417; --card: #1c1e22; --ink: #e9eaee; --dim: #9a9fab; --line: #2f3238;
            --before: #4c505a; --after: #6ea0ff; --good: #4cc38a; --fair: #e0a33c; --poor: #ff7a70;
            --warn: #2a2415; --warn-line: #5d4c1d;
          }
        }
        * { box-sizing: border-box; }
        body {
          margin: 0; background: var(--page); color: var(--ink);
          font: 14px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
          font-variant-numeric: tabular-nums;
        }
        main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 56px; }
        h1 { margin: 0; font-size: 30px; line-height: 1.2; letter-spacing: -.015em; overflow-wrap: anywhere; }
        h2 { margin: 0 0 14px; font-size: 17px; }
        h2::first-letter { text-transform: uppercase; }
        code { font: 12.5px/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
        code, summary, td.how { overflow-wrap: anywhere; }
        small { color: var(--dim); font-size: 12px; }
        .kind { margin: 0 0 4px; color: var(--dim); }
        .kind::first-letter { text-transform: uppercase; }
        .paths { margin: 16px 0 0; color: var(--dim); }
        .total { margin: 22px 0 0; }
        .size { margin: 0 0 8px; font-size: 24px; font-weight: 600; letter-spacing: -.01em; }
        .size .was, .size .to { color: var(--dim); font-weight: 400; }
        .ratio {
          display: inline-block; margin-left: 10px; padding: 2px 11px; border-radius: 99px; vertical-align: 3px;
          font-size: 14px; letter-spacing: 0; color: var(--card); background: var(--after);
        }
        .facts {
          display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 1px; margin: 22px 0 0;
          overflow: hidden; border: 1px solid var(--line); border-radius: 12px; background: var(--line);
        }
        .facts div { padding: 12px 16px 11px; background: var(--card); }
        .facts dt { color: var(--dim); font-size: 12px; }
        .facts dd { margin: 1px 0 0; font-size: 20px; font-weight: 600; letter-spacing: -.01em; }
        .facts small { font-size: 13px; font-weight: 400; }
        section {
          margin: 26px 0 0; padding: 20px 22px; border: 1px solid var(--line); border-radius: 12px; background: var(--card);
        }
        .warnings { border-color: var(--warn-line); background: var(--warn); }
        .warnings ul { margin: 0; padding-left: 20px; }
        table { width: 100%; border-collapse: collapse; }
        th {
          padding: 0 12px 7px 0; border-bottom: 1px solid var(--line); color: var(--dim); font-size: 12px;
          font-weight: 500; text-align: left; white-space: nowrap;
        }
        th[tabindex] { cursor: pointer; }
        th[aria-sort]::after { content: " ↑"; }
        th[aria-sort="descending"]::after { content: " ↓"; }
        td { padding: 9px 12px 8px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
        tbody tr:last-child td { border-bottom: 0; }
        th:last-child, td:last-child { padding-right: 0; }
        td small { display: block; }
        td.name { min-width: 180px; }
        td.how { min-width: 150px; font-size: 13px; }
        td.size, td.noise { width: 15%; min-width: 128px; font-size: 12.5px; white-space: nowrap; }
        td.number { text-align: right; white-space: nowrap; }
        th:nth-child(4), th:nth-child(6), th:nth-child(7) { text-align: right; }
        td.size { font-weight: 400; letter-spacing: 0; }
        .bar { height: 10px; margin: 6px 0 3px; overflow: hidden; border-radius: 3px; background: var(--line); }
        .bar i { display: block; height: 100%; min-width: 2px; border-radius: 3px; }
        .bar.before, i.before { background: var(--before); }
        .bar.poor { background: var(--poor); }
        .bars { display: grid; gap: 3px; }
        .bars i { height: 10px; min-width: 2px; border-radius: 4px; }
        i.after { background: var(--after); }
        i.good { background: var(--good); }
        i.fair { background: var(--fair); }
        i.poor { background: var(--poor); }
        span.good { color: var(--good); }
        span.fair { color: var(--fair); }
        span.poor { color: var(--poor); font-weight: 600; }
        dd span small { color: inherit; }
        .legend { margin: 14px 0 0; color: var(--dim); font-size: 12px; }
        .legend i { display: inline-block; width: 16px; height: 6px; margin: 0 3px 0 8px; border-radius: 2px; vertical-align: 1px; }
        .legend i:first-child { margin-left: 0; }
        .declined { color: var(--dim); }
        .declined h2 { color: var(--ink); }
        details + details { margin-top: 10px; padding-top: 10px; border-top: 1px solid var(--line); }
        summary { cursor: pointer; color: var(--ink); }
        summary small { margin-left: 6px; white-space: nowrap; }
        details ul { margin: 6px 0 0; padding: 0 0 0 18px; columns: 2; column-gap: 28px; list-style: none; }
        details li { break-inside: avoid; padding: 1px 0; }
        @media (max-width: 760px) {
          main { padding: 24px 14px 40px; }
          section { padding: 16px 14px; overflow-x: auto; }
          details ul { columns: 1; }
        }
        @media print {
          :root {
            --page: #fff; --card: #fff; --ink: #000; --dim: #555; --line: #ccc; --before: #bbb; --after: #2f6fde;
            --good: #1d8a57; --fair: #b97400; --poor: #cc3b32; --warn: #fff; --warn-line: #b97400;
          }
          body { font-size: 11px; }
          main { max-width: none; padding: 0; }
          section { padding: 12px 0; border-width: 1px 0 0; border-radius: 0; }
          tr, .facts div { break-inside: avoid; }
          i, .bar, .ratio { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
        }
        """

    /// Sorts the table by the column whose head is clicked.
    static let script = """
        for (const head of document.querySelectorAll("#weights th")) {
          const sort = () => {
            const column = head.cellIndex, body = head.closest("table").tBodies[0];
            const down = head.getAttribute("aria-sort") === "ascending";
            const value = row => {
              const cell = row.cells[column];
              return cell.dataset.sort === undefined ? cell.textContent : Number(cell.dataset.sort.replace("inf", "Infinity"));
            };
            const order = (a, b) => typeof a === "number" ? (a < b ? -1 : a > b ? 1 : 0) : a.localeCompare(b, "en", {numeric: true});
            const rows = [...body.rows].sort((a, b) => order(value(a), value(b)) * (down ? -1 : 1));
            for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
            head.setAttribute("aria-sort", down ? "descending" : "ascending");
            body.append(...rows);
          };
          head.tabIndex = 0;
          head.addEventListener("click", sort);
          head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
        }
        """
}
