/** Shows a model card: the headings, lists, tables and paragraphs of Markdown, as elements and text. */

import { make } from "./dom.js";

/** The elements of a Markdown text; its headings begin at `level`. */
export function rendered(markdown, level) {
  const blocks = [];
  let lines = [];
  const close = () => {
    if (lines.length) blocks.push(block(lines));
    lines = [];
  };
  for (const line of markdown.split("\n")) {
    const heading = /^(#+) +(.*)$/.exec(line);
    if (heading) {
      close();
      blocks.push(make(`h${Math.min(6, heading[1].length + level - 1)}`, {}, ...inline(heading[2])));
    } else if (line.trim() === "" || (lines.length && kind(line) !== kind(lines[0]))) {
      close();
      if (line.trim()) lines.push(line);
    } else {
      lines.push(line);
    }
  }
  close();
  return blocks;
}

const kind = (line) => (line.startsWith("|") ? "table" : /^[-*] /.test(line) ? "list" : "text");

function block(lines) {
  if (kind(lines[0]) === "table") return table(lines);
  if (kind(lines[0]) === "list") return make("ul", {}, ...lines.map((one) => make("li", {}, ...inline(one.slice(2)))));
  return make("p", {}, ...inline(lines.join(" ")));
}

function table(lines) {
  const rows = lines.map((line) =>
    line
      .trim()
      .replace(/^\||(?<!\\)\|$/g, "")
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim().replaceAll("\\|", "|")),
  );
  const [heads, ...body] = rows.filter((cells) => !cells.every((cell) => /^:?-+:?$/.test(cell)));
  const made = make(
    "table",
    {},
    make("thead", {}, make("tr", {}, ...heads.map((cell) => make("th", { scope: "col" }, ...inline(cell))))),
    make("tbody", {}, ...body.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, ...inline(cell)))))),
  );
  const name = `Table: ${heads.join(", ")}`;
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, made);
}

/** Text with **strong** and `code` parts. */
function inline(text) {
  return text
    .split(/(\*\*[^*]+\*\*|`[^`]+`)/)
    .filter(Boolean)
    .map((part) => {
      if (/^\*\*.+\*\*$/.test(part)) return make("strong", {}, part.slice(2, -2));
      if (/^`.+`$/.test(part)) return make("code", {}, part.slice(1, -1));
      return part;
    });
}
