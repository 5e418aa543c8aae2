/* genai.test.mjs: Google's own client against gemini-sim. What the official client accepts and returns is the proof that the simulator
 * speaks the wire format; the tests of the server rest on that. Starts its own simulator: GEMINI_SIM is the program's path. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { ApiError, FunctionCallingConfigMode, GoogleGenAI, ThinkingLevel } from "@google/genai";

const program = process.env.GEMINI_SIM ?? fileURLToPath(new URL("../../build/gemini-sim", import.meta.url));
const model = "gemini-3.8-flash";
let simulator;
let base;
let client;

before(async () => {
	assert.ok(existsSync(program), `no simulator at ${program}; set GEMINI_SIM`);
	simulator = spawn(program, ["--port", "0", "--chunk-delay-ms", "1", "--api-key", "right"], { stdio: ["ignore", "pipe", "inherit"] });
	let said = "";
	while (!said.includes("\n")) said += (await once(simulator.stdout, "data"))[0];
	base = /^listening on (http:\/\/\S+)\n/.exec(said)[1];
	client = new GoogleGenAI({ apiKey: "right", httpOptions: { baseUrl: base } });
});

after(async () => {
	simulator.kill("SIGTERM");
	const [code] = await once(simulator, "exit");
	assert.equal(code, 0);
});

function control(method, path, body) {
	return fetch(base + path, { method, body: body === undefined ? undefined : JSON.stringify(body) });
}

async function collect(stream) {
	const chunks = [];
	for await (const chunk of stream) chunks.push(chunk);
	return chunks;
}

test("a stream says what the unary call says", async () => {
	const request = { model, contents: "Which tiles for a kitchen of 12 m²?" };
	const unary = await client.models.generateContent(request);
	const chunks = await collect(await client.models.generateContentStream(request));
	assert.ok(chunks.length > 5);
	assert.equal(chunks.map((chunk) => chunk.text ?? "").join(""), unary.text);
	assert.equal(chunks.at(-1).candidates[0].finishReason, "STOP");
	assert.ok(chunks.at(-1).usageMetadata.candidatesTokenCount > 10);
	assert.equal(new Set(chunks.map((chunk) => chunk.responseId)).size, 1);
	assert.notEqual(unary.responseId, chunks[0].responseId);
	assert.equal(unary.modelVersion, model);
});

test("TCP splits of single bytes change nothing", async () => {
	const plain = await client.models.generateContent({ model, contents: "é ★ 💡 [sim:words=40]" });
	const chunks = await collect(await client.models.generateContentStream({ model, contents: "é ★ 💡 [sim:words=40][sim:split=1]" }));
	assert.equal(plain.text.split(/\s+/).length, 40);
	assert.equal(chunks.map((chunk) => chunk.text ?? "").join("").split(/\s+/).length, 40);
});

test("chat with tools goes round, with signatures and ids kept by the client", async () => {
	const declarations = [
		{ name: "update_session", parametersJsonSchema: { type: "object", properties: { title: { type: "string" }, totalBudget: { type: "number" } } } },
		{ name: "add_room", parametersJsonSchema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] } },
		{ name: "add_task", parametersJsonSchema: { type: "object", properties: { title: { type: "string" } }, required: ["title"] } },
	];
	for (const name of [model, "gemini-3.5-flash-lite", "gemini-2.5-flash"]) {
		const chat = client.chats.create({ model: name, config: { systemInstruction: "You help to renovate.", tools: [{ functionDeclarations: declarations }] } });
		const first = await chat.sendMessage({ message: "I want to renovate my kitchen, about 12 m2, budget 15000" });
		assert.ok(first.functionCalls.length >= 4 && first.functionCalls.length <= 16);
		assert.equal(first.functionCalls.some((call) => call.id !== undefined), name !== "gemini-2.5-flash");
		assert.ok(first.functionCalls.every((call) => declarations.some((one) => one.name === call.name)));
		const message = first.functionCalls.map((call) => ({ functionResponse: { id: call.id, name: call.name, response: { output: { ok: true } } } }));
		const second = await chat.sendMessage({ message });
		assert.equal(second.functionCalls, undefined);
		assert.match(second.text, /Kitchen renovation/);
		const third = await chat.sendMessage({ message: "How long will it take?" });
		assert.match(third.text, /weeks/);
	}
});

test("a lost signature is refused by the 3.x family", async () => {
	const config = { tools: [{ functionDeclarations: [{ name: "get_price", parametersJsonSchema: { type: "object", properties: { sku: { type: "string" } } } }] }] };
	const ask = { role: "user", parts: [{ text: "Use get_price once for A1 and once for B2" }] };
	const first = await client.models.generateContent({ model, contents: [ask], config });
	assert.deepEqual(first.functionCalls.map((call) => call.args.sku), ["A1", "B2"]);
	const parts = first.candidates[0].content.parts;
	assert.ok(parts[0].thoughtSignature && !parts[1].thoughtSignature);
	const answers = { role: "user", parts: first.functionCalls.map(({ id, name }) => ({ functionResponse: { id, name, response: { output: 1 } } })) };
	const careless = { role: "model", parts: parts.map(({ functionCall }) => ({ functionCall })) };
	await assert.rejects(client.models.generateContent({ model, contents: [ask, careless, answers], config }), (error) => {
		assert.ok(error instanceof ApiError);
		assert.equal(error.status, 400);
		assert.match(error.message, /thought_signature/);
		return true;
	});
	const second = await client.models.generateContent({ model, contents: [ask, first.candidates[0].content, answers], config });
	assert.match(second.text, /get_price/);
});

test("function calling modes", async () => {
	const functionDeclarations = [{ name: "one" }, { name: "two", parameters: { type: "OBJECT", properties: { count: { type: "INTEGER", minimum: 3 } }, required: ["count"] } }];
	const forced = await client.models.generateContent({
		model,
		contents: "Hello!",
		config: { tools: [{ functionDeclarations }], toolConfig: { functionCallingConfig: { mode: FunctionCallingConfigMode.ANY, allowedFunctionNames: ["two"] } } },
	});
	assert.equal(forced.functionCalls[0].name, "two");
	assert.ok(Number.isInteger(forced.functionCalls[0].args.count) && forced.functionCalls[0].args.count >= 3);
});

test("JSON by schema", async () => {
	const response = await client.models.generateContent({
		model,
		contents: "Bathroom 6 m2, new tiles",
		config: {
			responseMimeType: "application/json",
			responseJsonSchema: { type: "object", properties: { qty: { type: "number" }, room: { type: "string" } }, required: ["room", "qty"], propertyOrdering: ["room", "qty"] },
		},
	});
	assert.deepEqual(Object.keys(JSON.parse(response.text)), ["room", "qty"]);
});

test("images, tokens, models and embeddings", async () => {
	const contents = [{ inlineData: { mimeType: "image/png", data: "iVBORw0KGgo=" } }, { text: "What needs repair here?" }];
	const seen = await client.models.generateContent({ model, contents, config: { thinkingConfig: { thinkingLevel: ThinkingLevel.LOW } } });
	assert.match(seen.text, /window/);
	const counted = await client.models.countTokens({ model, contents });
	assert.equal(counted.totalTokens, seen.usageMetadata.promptTokenCount);
	assert.equal((await client.models.get({ model })).name, `models/${model}`);
	const names = [];
	for await (const one of await client.models.list({ config: { pageSize: 4 } })) names.push(one.name);
	assert.ok(names.includes("models/gemini-2.5-flash") && names.length > 10);
	const embedded = await client.models.embedContent({ model: "gemini-embedding-001", contents: ["oak", "oak", "tiles"], config: { outputDimensionality: 16 } });
	assert.deepEqual(embedded.embeddings[0].values, embedded.embeddings[1].values);
	assert.notDeepEqual(embedded.embeddings[0].values, embedded.embeddings[2].values);
});

test("keys, unknown models and quotas are errors with a status", async () => {
	const wrong = new GoogleGenAI({ apiKey: "wrong", httpOptions: { baseUrl: base } });
	await assert.rejects(wrong.models.generateContent({ model, contents: "a" }), { status: 400 });
	await assert.rejects(client.models.generateContent({ model: "gemini-1.5-flash", contents: "a" }), { status: 404 });
	await assert.rejects(client.models.generateContentStream({ model, contents: "a [sim:fault=429_minute]" }), (error) => {
		assert.equal(error.status, 429);
		assert.match(error.message, /retryDelay/);
		return true;
	});
	await assert.rejects(client.models.generateContentStream({ model, contents: "a [sim:fault=503]" }), { status: 503 });
});

test("an error in the stream reaches the reader, a blocked prompt has no candidates", async () => {
	await assert.rejects(async () => collect(await client.models.generateContentStream({ model, contents: "[sim:chunks=6][sim:fault=error_framed,afterChunks=2]" })));
	await assert.rejects(async () => collect(await client.models.generateContentStream({ model, contents: "[sim:chunks=6][sim:delay=5ms][sim:fault=rst,afterChunks=2]" })));
	const blocked = await client.models.generateContent({ model, contents: "[sim:fault=blocked]" });
	assert.equal(blocked.promptFeedback.blockReason, "PROHIBITED_CONTENT");
	assert.equal(blocked.candidates, undefined);
});

test("leaving closes the stream at the simulator", async () => {
	await control("DELETE", "/sim/log");
	const abort = new AbortController();
	const stream = await client.models.generateContentStream({ model, contents: "[sim:chunks=2000][sim:delay=20ms]", config: { abortSignal: abort.signal } });
	await assert.rejects(async () => {
		for await (const chunk of stream) if (chunk.text) abort.abort();
	});
	let log = "";
	for (const deadline = Date.now() + 60000; Date.now() < deadline; ) {
		log = (await (await control("GET", "/sim/log")).text()).trim();
		const last = log === "" ? null : JSON.parse(log.split("\n").at(-1));
		if (last && last.closedAfterMs !== null) {
			assert.equal(last.outcome, "client closed");
			return;
		}
		await new Promise((resolve) => setTimeout(resolve, 10));
	}
	assert.fail(`the simulator did not notice: ${log}`);
});

test("scripted replies come in order", async () => {
	await control("POST", "/sim/script", [{ contains: "roof", steps: [{ text: ["The ", "roof"] }] }, { steps: [{ call: { name: "one", args: { a: 1 } } }] }]);
	const call = await client.models.generateContent({ model, contents: "cellar" });
	assert.deepEqual(call.functionCalls[0].args, { a: 1 });
	assert.equal((await client.models.generateContent({ model, contents: "the roof?" })).text, "The roof");
});
