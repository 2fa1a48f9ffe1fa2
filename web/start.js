// Starts the page: the module shows itself where the page has a place for it.
import init from "./longhand-web.js";

try {
  await init();
} catch (problem) {
  const told = document.getElementById("waiting");
  told.setAttribute("role", "alert");
  told.textContent = `Longhand could not be started: ${problem?.message ?? problem}. Reload the page to try again; it needs a browser with WebAssembly, and a page that is served whole.`;
  throw problem;
}
document.querySelector(".waiting")?.remove();
