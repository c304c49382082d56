// Liveliness only: every page works without this file.
(() => {
  "use strict";

  // Blocks that keep themselves up to date: the server sends them anew whenever they change.
  for (const place of document.querySelectorAll("[data-live]")) {
    const source = new EventSource(place.dataset.live);
    source.addEventListener("replace", (event) => {
      const focused = place.contains(document.activeElement) ? document.activeElement : null;
      if (focused && focused.matches("input, select, textarea")) return; // somebody is writing there
      const id = focused && focused.id;
      place.innerHTML = event.data;
      if (id) document.getElementById(id)?.focus();
    });
    source.addEventListener("end", (event) => {
      source.close();
      if (event.data === "reload") location.reload();
    });
    addEventListener("pagehide", () => source.close());
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
