// What HTML and htmx cannot do: copy a text, keep the filter's URL short, move by keyboard.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");

  // Copy buttons name the element whose text they copy.
  const copied = async (text) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const field = document.createElement("textarea"); // Without https there is no clipboard API.
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await copied(document.getElementById(button.dataset.copy).textContent);
    button.dataset.copied = "";
    say("Copied");
    setTimeout(() => delete button.dataset.copied, 1500);
  });
  let quiet;
  const say = (text) => {
    const region = document.getElementById("said");
    if (!region) return;
    region.textContent = text;
    clearTimeout(quiet);
    quiet = setTimeout(() => (region.textContent = ""), 4000);
  };

  // Empty fields stay out of the URL.
  document.addEventListener("htmx:config:request", (event) => {
    const { sourceElement, request } = event.detail.ctx;
    if (!sourceElement.matches("form.filter")) return;
    for (const [name, value] of [...request.body]) if (!value) request.body.delete(name);
  });
  // A request that did not come through is said, not swallowed.
  document.addEventListener("htmx:error", () => say("The server cannot be reached"));
  document.addEventListener("htmx:response:error", (event) => {
    if (event.detail.ctx.response.status >= 500) say("The server has a problem; nothing here has changed");
  });

  // Keys: / filter, j and k rows; they can be turned off (WCAG 2.1.4).
  const off = () => localStorage.getItem("shortcuts") === "off";
  const shown = () => {
    const button = document.querySelector("[data-shortcuts]");
    if (button) button.setAttribute("aria-pressed", String(!off()));
  };
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-shortcuts]")) return;
    localStorage.setItem("shortcuts", off() ? "on" : "off");
    shown();
  });
  const step = (by) => {
    const rows = [...document.querySelectorAll("[data-row]")];
    const at = rows.indexOf(document.activeElement);
    const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
    if (next) next.focus();
  };
  const keys = {
    "/": () => document.getElementById("q")?.select(),
    j: () => step(1),
    k: () => step(-1),
  };
  document.addEventListener("keydown", (event) => {
    if (off() || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    event.preventDefault();
    keys[event.key]();
  });
  addEventListener("DOMContentLoaded", shown);
})();
