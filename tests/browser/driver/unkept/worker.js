// The engine's worker in a browser that keeps nothing for the page.
import init, { serve } from "/longhand-web.js";

StorageManager.prototype.getDirectory = async () => {
  throw new DOMException("nothing is kept here", "SecurityError");
};
await init();
serve();
