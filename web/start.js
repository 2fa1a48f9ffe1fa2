// Starts the page: the module shows itself where the page has a place for it.
import init from "./longhand-web.js";

await init();
