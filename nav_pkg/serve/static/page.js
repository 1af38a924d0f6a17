"use strict";
// The player of a recorded run, and the view of a session that runs. Everything else is plain HTML.
const player = document.getElementById("player");
if (player) {
  const find = (id) => document.getElementById(id);
  const slider = find("frame"), image = find("camera"), pattern = player.dataset.images;
  let data = null, timer = null;
  const show = (index) => {
    image.src = pattern.replace(/0\.jpg$/, index + ".jpg");
    find("number").textContent = index;
    if (!data) return;
    find("turn").value = data.applied_yaw[index] ?? 0;
    find("expert").value = data.expert_yaw[index] ?? 0;
    const here = find("here");
    if (here) { here.setAttribute("cx", data.x[index]); here.setAttribute("cy", -data.y[index]); }
  };
  fetch(player.dataset.source).then((answer) => answer.json()).then((found) => {
    data = found;
    const path = find("path");
    if (path) path.setAttribute("points", data.x.map((x, i) => x + "," + -data.y[i]).join(" "));
    show(Number(slider.value));
  });
  slider.addEventListener("input", () => show(Number(slider.value)));
  find("play").addEventListener("click", () => {
    if (timer) { clearInterval(timer); timer = null; find("play").textContent = "play"; return; }
    find("play").textContent = "pause";
    timer = setInterval(() => {
      if (!image.complete) return; // a slow server plays slower, and leaves out no image
      const next = Number(slider.value) + 1;
      if (next >= Number(player.dataset.frames)) { find("play").click(); return; }
      slider.value = next;
      show(next);
    }, 100);
  });
}
const live = document.getElementById("live");
if (live && live.dataset.running === "yes") {
  let before = null;
  const here = document.getElementById("here"), flown = [];
  const look = () => fetch(live.dataset.state).then((answer) => answer.json()).then((state) => {
    const set = (id, value) => { const at = document.getElementById(id); if (at && value !== undefined && value !== null) at.textContent = value; };
    set("run", state.run); set("percent", state.percent); set("outcomes", state.outcomes);
    set("simulated", state.simulated && state.simulated.toFixed(1));
    const now = { wall: Date.now() / 1000, simulated: state.simulated, run: state.run };
    if (before && now.simulated > before.simulated) set("rate", ((now.simulated - before.simulated) / (now.wall - before.wall)).toFixed(1));
    if (before && state.run !== before.run) flown.length = 0;
    if (here && state.x !== undefined) {
      here.setAttribute("cx", state.x); here.setAttribute("cy", -state.y);
      flown.push(state.x + "," + -state.y);
      document.getElementById("path").setAttribute("points", flown.join(" "));
    }
    before = now;
    const view = document.getElementById("view");
    if (view && view.complete) view.src = live.dataset.image + "?" + now.wall;
    if (state.running) setTimeout(look, 1000); // one at a time: answers keep their order
    else location.reload();
  }).catch(() => setTimeout(look, 1000)); // the server may be back
  look();
}
