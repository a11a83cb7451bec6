// Run once by Gradio when the page is there: the words around the ballot that depend on the rater's state.
() => {
  const $ = (id) => document.getElementById(id);
  const show = (id, words) => { $(id).hidden = !words; return $(id); };

  function drawEnd(state, say) {
    const done = state.progress.done;
    $("end-title").textContent = say(state.stage);
    const { limit } = state.progress;
    $("end-text").textContent = !done ? "" : say(limit && done < limit ? "done_of_text" : "done_text", { done, limit });
    show("completion", state.completion_code).querySelector("output").textContent = state.completion_code ?? "";
    const link = show("return", state.return_link).querySelector("a");
    if (state.return_link) link.href = state.return_link;
    show("withdraw", done).querySelector("a").href = `withdraw?lang=${document.querySelector("[data-part=ballot]").lang}`;
    show("revealed", state.revealed).textContent = state.revealed ? `${say("revealed")}: ${state.revealed.join(", ")}` : "";
    $("resume").hidden = state.stage !== "finished";
    $("resume").style.display = state.stage === "finished" ? "" : "none";
    drawOwn({}, say);
    if (state.revealed) {
      const request = { method: "POST", headers: { "Content-Type": "application/json", "X-Arena": "1" }, body: "{}" };
      fetch("api/choices", request).then((reply) => (reply.ok ? reply.json() : {})).then((own) => drawOwn(own, say));
    }
    $("end-title").focus();
  }

  function drawOwn(own, say) {
    const board = show("board", own.board?.length);
    $("board-text").textContent = say("own_board_text", { votes: own.votes ?? 0 });
    board.querySelector("ol").replaceChildren(...(own.board ?? []).map(({ name, share, of }) =>
      Object.assign(document.createElement("li"), { textContent: `${name}: ${Math.round(100 * share)}% (${of})` })));
    show("choices", own.choices?.length).querySelector("tbody").replaceChildren(...(own.choices ?? []).map((choice) => {
      const row = document.createElement("tr");
      const cells = choice.outcome === "tie" || choice.outcome === "both_bad"
        ? [choice.prompt, say(choice.outcome), choice.names.join(", ")]
        : [choice.prompt, choice.names[0], choice.names[1]];
      row.append(...cells.map((words) => Object.assign(document.createElement("td"), { textContent: words, dir: "auto" })));
      return row;
    }));
  }

  function onStage({ stage, state, say }) {
    if (stage === "welcome") show("refusal", state?.error).textContent = state?.error ?? "";
    if (stage === "rest") { $("rest-text").textContent = say("break_text", { done: state.progress.done }); $("continue").focus(); }
    if (stage === "end") drawEnd(state, say);
    if (stage !== "vote") scrollTo(0, 0);
  }

  document.addEventListener("arena:stage", (event) => onStage(event.detail));
  const early = document.querySelector("[data-stage]")?.arena;
  if (early) onStage(early);
  // Another language keeps the rest of the address: invites and panels write there who is asked.
  for (const link of document.querySelectorAll("a[data-language]")) link.search = location.search;
}
