// Liveliness only: every page works without this file.
(() => {
  "use strict";

  // Blocks that keep themselves up to date: the server sends them anew whenever they change. A tab that
  // nobody sees lets go, since browsers allow a site only a few connections for all its tabs.
  for (const place of document.querySelectorAll("[data-live]")) {
    let source = null;
    let ended = false;
    const close = () => { source?.close(); source = null; };
    const open = () => {
      if (source || ended || document.hidden) return;
      source = new EventSource(place.dataset.live);
      source.addEventListener("replace", (event) => {
        const focused = place.contains(document.activeElement) ? document.activeElement : null;
        if (focused && focused.matches("input, select, textarea")) return; // somebody is writing there
        const next = document.createElement("template");
        next.innerHTML = event.data;
        if (next.innerHTML.trim() === place.innerHTML.trim()) return; // what is there already stays, and whoever is about to click it
        const unfolded = [...place.querySelectorAll("details")].map((d) => d.open);
        const scrolled = [...place.querySelectorAll(".scroll")].map((s) => s.scrollLeft);
        const at = focused ? [...place.querySelectorAll("a, button, summary")].indexOf(focused) : -1;
        place.innerHTML = event.data;
        place.querySelectorAll("details").forEach((d, i) => { d.open = unfolded[i] ?? false; });
        place.querySelectorAll(".scroll").forEach((s, i) => { s.scrollLeft = scrolled[i] ?? 0; });
        if (at >= 0) place.querySelectorAll("a, button, summary")[at]?.focus();
      });
      source.addEventListener("end", () => { ended = true; close(); });
    };
    document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
    addEventListener("pagehide", close);
    addEventListener("pageshow", open);
    open();
  }

  // Choosing sends the form; its button is for those without the script.
  for (const choice of document.querySelectorAll("select[data-auto]")) {
    choice.form.classList.add("auto");
    choice.addEventListener("change", () => choice.form.requestSubmit());
  }

  // One click is enough.
  addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.method === "get") return;
    setTimeout(() => {
      for (const button of event.target.querySelectorAll("button")) button.disabled = true;
    });
  });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const button of document.querySelectorAll("button[disabled]")) button.disabled = false;
  });

  // Escape closes the menu.
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
})();
