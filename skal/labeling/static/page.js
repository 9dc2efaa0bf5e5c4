"use strict";
// Keys press the button or link that names them; while rows are chosen, the page waits.

let sent = false;

document.addEventListener("submit", (event) => {
  if (sent) event.preventDefault();
  sent = true;
});
// A page from the cache of the browser, after "back", may send again.
window.addEventListener("pageshow", () => { sent = false; });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const field = event.target.closest("input, textarea, select");
  // No number contains these letters, so they are keys in its field, too.
  if (field && !("number" in field.dataset && "sxun".includes(event.key))) return;
  const found = [...document.querySelectorAll("[data-key]")]
    .find((element) => element.dataset.key === event.key);
  if (!found) return;
  event.preventDefault();
  found.click();
});

const waiting = document.querySelector("[data-poll]");
async function poll() {
  try {
    const response = await fetch(waiting.dataset.poll);
    if (!response.ok || !(await response.json()).choosing) {
      location.reload();
      return;
    }
  } catch {
    waiting.textContent = "The server does not answer. Labels so far are recorded.";
  }
  setTimeout(poll, 1000);
}
if (waiting) setTimeout(poll, 500);
