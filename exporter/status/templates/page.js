// Fetches this page again every 30 s and puts the new <main> in place of the old one. Without it the
// page is complete, only not refreshed by itself.
(() => {
  "use strict";
  const EVERY = 30000;
  // Links are relative. Below a prefix that was opened without its last slash they would leave it.
  if (!location.pathname.endsWith("/")) {
    history.replaceState(null, "", `${location.pathname}/${location.search}${location.hash}`);
  }
  const state = document.getElementById("refresh-state");
  const toggle = document.getElementById("refresh-toggle");
  let asOf = document.querySelector("main").dataset.asOf;
  let paused = false, failed = false, timer = 0, last = Date.now();

  const tell = () => {
    const how = paused ? "paused" : document.hidden ? "paused while hidden"
      : failed ? "no answer, trying again" : "every 30 s";
    state.textContent = `Updated ${asOf}, ${how}`;
    toggle.textContent = paused ? "Resume" : "Pause";
  };

  // What has the focus in the old <main>, found again in the new one.
  const twin = (old, main) => {
    if (old.id) return main.ownerDocument.getElementById(old.id);
    if (old.tagName === "SUMMARY" && old.parentElement.id) {
      return main.querySelector(`#${old.parentElement.id} > summary`);
    }
    const same = (link) => link.getAttribute("href") === old.getAttribute("href")
      && link.textContent === old.textContent;
    return [...main.querySelectorAll("a")].find(same) || null;
  };

  const swap = (fresh) => {
    const old = document.querySelector("main");
    const focused = document.activeElement;
    const open = [...old.querySelectorAll("details")].filter((one) => one.open);
    const typed = [...old.querySelectorAll("input[type=search], select")]
      .map((one) => [one.id, one.value, one.selectionStart, one.selectionEnd]);
    old.replaceWith(fresh);
    for (const one of open) {
      const again = document.getElementById(one.id);
      if (again) again.open = true;
    }
    for (const [id, value] of typed) {
      const again = document.getElementById(id);
      if (again) again.value = value;
    }
    const again = twin(focused, fresh);
    if (again) {
      again.focus({ preventScroll: true });
      const was = typed.find(([id]) => id === again.id);
      if (was && again.setSelectionRange) again.setSelectionRange(was[2], was[3]);
    }
    asOf = fresh.dataset.asOf;
  };

  const refresh = async () => {
    last = Date.now();
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(15000) });
      if (!answer.ok) throw new Error(answer.statusText);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = document.adoptNode(page.querySelector("main"));  // fails without one
      if (paused || document.hidden) return;
      swap(fresh);
      document.title = page.title;
      const icon = page.querySelector("link[rel=icon]");
      if (icon) document.querySelector("link[rel=icon]").href = icon.href;
      failed = false;
    } catch {
      failed = true;
    }
  };

  const plan = () => {
    clearTimeout(timer);
    tell();
    if (paused || document.hidden) return;
    timer = setTimeout(() => refresh().then(plan), Math.max(0, last + EVERY - Date.now()));
  };

  toggle.addEventListener("click", () => {
    paused = !paused;
    if (!paused) last = 0;
    plan();
  });
  document.addEventListener("visibilitychange", plan);
  toggle.hidden = false;
  plan();
})();
