// The engine's worker, which also says how much memory its module has. WebAssembly's memory never shrinks: that is the most it ever had.
import init, { serve } from "/package/longhand-web.js";

const { memory } = await init();
const channel = new BroadcastChannel("longhand-figures");
channel.onmessage = ({ data }) => {
  if (data === "memory?") channel.postMessage({ memory: memory.buffer.byteLength });
};
serve();
