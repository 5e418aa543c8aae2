/* THE tables of request messages, after Google's v1beta description. Read by validate.c alone.
 * Only requests are described: answers are written by answer.c and need no checking. */
#include "tests/gemini-sim/messages.h"

#include <stddef.h>

// clang-format off
#define ENUMERATION(id, title, ...) \
	static const char *const id##_values[] = { __VA_ARGS__, NULL }; \
	static const struct enumeration id = { .name = title, .values = id##_values }
#define MESSAGE(id, title, ...) \
	static const struct field id##_fields[] = { __VA_ARGS__, { .name = NULL } }; \
	static const struct message id = { .name = title, .fields = id##_fields }

#define TEXT(n)       { .name = n, .kind = FIELD_TEXT }
#define TEXTS(n)      { .name = n, .kind = FIELD_TEXT, .repeated = true }
#define NUMBER(n)     { .name = n, .kind = FIELD_NUMBER }
#define INT32(n)      { .name = n, .kind = FIELD_INT32 }
#define INT64(n)      { .name = n, .kind = FIELD_INT64 }
#define BOOL(n)       { .name = n, .kind = FIELD_BOOL }
#define BYTES(n)      { .name = n, .kind = FIELD_BYTES }
#define ENUM(n, e)    { .name = n, .kind = FIELD_ENUM, .values = &(e) }
#define ENUMS(n, e)   { .name = n, .kind = FIELD_ENUM, .values = &(e), .repeated = true }
#define ONE(n, m)     { .name = n, .kind = FIELD_MESSAGE, .message = &(m) }
#define MANY(n, m)    { .name = n, .kind = FIELD_MESSAGE, .message = &(m), .repeated = true }
#define MAP(n, m)     { .name = n, .kind = FIELD_MAP, .message = &(m) }
#define STRUCT(n)     { .name = n, .kind = FIELD_STRUCT }
#define VALUE(n)      { .name = n, .kind = FIELD_VALUE }
#define CHOICE(n, m)  { .name = n, .kind = FIELD_MESSAGE, .message = &(m), .oneof = 1 }

ENUMERATION(schema_type, "Type",
	"TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL");
ENUMERATION(harm_category, "HarmCategory",
	"HARM_CATEGORY_UNSPECIFIED", "HARM_CATEGORY_HARASSMENT", "HARM_CATEGORY_HATE_SPEECH",
	"HARM_CATEGORY_SEXUALLY_EXPLICIT", "HARM_CATEGORY_DANGEROUS_CONTENT", "HARM_CATEGORY_CIVIC_INTEGRITY",
	"HARM_CATEGORY_DEROGATORY", "HARM_CATEGORY_TOXICITY", "HARM_CATEGORY_VIOLENCE", "HARM_CATEGORY_SEXUAL",
	"HARM_CATEGORY_MEDICAL", "HARM_CATEGORY_DANGEROUS");
ENUMERATION(harm_threshold, "SafetySetting.HarmBlockThreshold",
	"HARM_BLOCK_THRESHOLD_UNSPECIFIED", "BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH",
	"BLOCK_NONE", "OFF");
ENUMERATION(call_mode, "FunctionCallingConfig.Mode", "MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED");
ENUMERATION(level, "ThinkingConfig.ThinkingLevel",
	"THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH");
ENUMERATION(media_resolution, "GenerationConfig.MediaResolution",
	"MEDIA_RESOLUTION_UNSPECIFIED", "MEDIA_RESOLUTION_LOW", "MEDIA_RESOLUTION_MEDIUM", "MEDIA_RESOLUTION_HIGH");
ENUMERATION(part_resolution_level, "MediaResolution.Level",
	"MEDIA_RESOLUTION_UNSPECIFIED", "MEDIA_RESOLUTION_LOW", "MEDIA_RESOLUTION_MEDIUM", "MEDIA_RESOLUTION_HIGH",
	"MEDIA_RESOLUTION_ULTRA_HIGH");
ENUMERATION(modality, "GenerationConfig.Modality", "MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "AUDIO");
ENUMERATION(service_tier, "ServiceTier",
	"SERVICE_TIER_UNSPECIFIED", "standard", "flex", "priority", "STANDARD", "FLEX", "PRIORITY");
ENUMERATION(behavior, "FunctionDeclaration.Behavior", "UNSPECIFIED", "BLOCKING", "NON_BLOCKING");
ENUMERATION(scheduling, "FunctionResponse.Scheduling", "SCHEDULING_UNSPECIFIED", "SILENT", "WHEN_IDLE", "INTERRUPT");
ENUMERATION(language, "ExecutableCode.Language", "LANGUAGE_UNSPECIFIED", "PYTHON");
ENUMERATION(code_outcome, "CodeExecutionResult.Outcome",
	"OUTCOME_UNSPECIFIED", "OUTCOME_OK", "OUTCOME_FAILED", "OUTCOME_DEADLINE_EXCEEDED");
ENUMERATION(task_type, "TaskType",
	"TASK_TYPE_UNSPECIFIED", "RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY", "CLASSIFICATION",
	"CLUSTERING", "QUESTION_ANSWERING", "FACT_VERIFICATION", "CODE_RETRIEVAL_QUERY");

MESSAGE(blob, "Blob", TEXT("mimeType"), BYTES("data"), TEXT("displayName"));
MESSAGE(file_data, "FileData", TEXT("mimeType"), TEXT("fileUri"), TEXT("displayName"));
MESSAGE(function_call, "FunctionCall", TEXT("id"), TEXT("name"), STRUCT("args"));
MESSAGE(response_part, "FunctionResponsePart", ONE("inlineData", blob), ONE("fileData", file_data));
MESSAGE(function_response, "FunctionResponse", TEXT("id"), TEXT("name"), STRUCT("response"),
	MANY("parts", response_part), BOOL("willContinue"), ENUM("scheduling", scheduling));
MESSAGE(executable_code, "ExecutableCode", TEXT("id"), ENUM("language", language), TEXT("code"));
MESSAGE(code_result, "CodeExecutionResult", TEXT("id"), ENUM("outcome", code_outcome), TEXT("output"));
MESSAGE(server_tool_call, "ToolCall", TEXT("id"), TEXT("toolType"), STRUCT("args"));
MESSAGE(server_tool_response, "ToolResponse", TEXT("id"), TEXT("toolType"), STRUCT("response"));
MESSAGE(video_metadata, "VideoMetadata", TEXT("startOffset"), TEXT("endOffset"), NUMBER("fps"));
MESSAGE(part_resolution, "MediaResolution", ENUM("level", part_resolution_level));
MESSAGE(part, "Part",
	{ .name = "text", .kind = FIELD_TEXT, .oneof = 1 }, CHOICE("inlineData", blob), CHOICE("fileData", file_data),
	CHOICE("functionCall", function_call), CHOICE("functionResponse", function_response),
	CHOICE("executableCode", executable_code), CHOICE("codeExecutionResult", code_result),
	CHOICE("toolCall", server_tool_call), CHOICE("toolResponse", server_tool_response),
	BOOL("thought"), BYTES("thoughtSignature"), ONE("videoMetadata", video_metadata),
	ONE("mediaResolution", part_resolution), STRUCT("partMetadata"));
MESSAGE(content, "Content", MANY("parts", part), TEXT("role"));

static const struct message schema;
static const struct field schema_fields[] = {
	ENUM("type", schema_type), TEXT("format"), TEXT("title"), TEXT("description"), BOOL("nullable"), TEXTS("enum"),
	ONE("items", schema), INT64("minItems"), INT64("maxItems"), MAP("properties", schema), TEXTS("required"),
	TEXTS("propertyOrdering"), INT64("minProperties"), INT64("maxProperties"), NUMBER("minimum"), NUMBER("maximum"),
	INT64("minLength"), INT64("maxLength"), TEXT("pattern"), VALUE("example"), MANY("anyOf", schema), VALUE("default"),
	{ .name = NULL },
};
static const struct message schema = { .name = "Schema", .fields = schema_fields };

MESSAGE(declaration, "FunctionDeclaration", TEXT("name"), TEXT("description"), ENUM("behavior", behavior),
	ONE("parameters", schema), VALUE("parametersJsonSchema"), ONE("response", schema), VALUE("responseJsonSchema"));
MESSAGE(tool, "Tool", MANY("functionDeclarations", declaration), STRUCT("googleSearchRetrieval"), STRUCT("codeExecution"),
	STRUCT("googleSearch"), STRUCT("computerUse"), STRUCT("urlContext"), STRUCT("fileSearch"), STRUCT("googleMaps"),
	{ .name = "mcpServers", .kind = FIELD_STRUCT, .repeated = true });
MESSAGE(calling, "FunctionCallingConfig", ENUM("mode", call_mode), TEXTS("allowedFunctionNames"));
MESSAGE(tool_config, "ToolConfig", ONE("functionCallingConfig", calling), STRUCT("retrievalConfig"),
	BOOL("includeServerSideToolInvocations"));
MESSAGE(safety, "SafetySetting", ENUM("category", harm_category), ENUM("threshold", harm_threshold));
MESSAGE(thinking, "ThinkingConfig", BOOL("includeThoughts"), INT32("thinkingBudget"), ENUM("thinkingLevel", level));
MESSAGE(generation, "GenerationConfig",
	INT32("candidateCount"), TEXTS("stopSequences"), INT32("maxOutputTokens"), NUMBER("temperature"), NUMBER("topP"),
	INT32("topK"), INT32("seed"), TEXT("responseMimeType"), ONE("responseSchema", schema),
	VALUE("responseJsonSchema"), NUMBER("presencePenalty"), NUMBER("frequencyPenalty"), BOOL("responseLogprobs"),
	INT32("logprobs"), BOOL("enableEnhancedCivicAnswers"), ENUMS("responseModalities", modality),
	STRUCT("speechConfig"), ONE("thinkingConfig", thinking), STRUCT("imageConfig"),
	ENUM("mediaResolution", media_resolution));

#define GENERATE_FIELDS \
	TEXT("model"), ONE("systemInstruction", content), MANY("contents", content), MANY("tools", tool), \
	ONE("toolConfig", tool_config), MANY("safetySettings", safety), ONE("generationConfig", generation), \
	TEXT("cachedContent"), ENUM("serviceTier", service_tier), BOOL("store"), TEXT("continuationToken")

static const struct field generate_fields[] = { GENERATE_FIELDS, { .name = NULL } };
const struct message message_generate_content = { .name = "GenerateContentRequest", .fields = generate_fields };

static const struct field count_fields[] = {
	MANY("contents", content), ONE("generateContentRequest", message_generate_content), { .name = NULL },
};
const struct message message_count_tokens = { .name = "CountTokensRequest", .fields = count_fields };

static const struct field embed_fields[] = {
	TEXT("model"), ONE("content", content), ENUM("taskType", task_type), TEXT("title"), INT32("outputDimensionality"),
	{ .name = NULL },
};
const struct message message_embed_content = { .name = "EmbedContentRequest", .fields = embed_fields };

static const struct field batch_fields[] = { MANY("requests", message_embed_content), { .name = NULL } };
const struct message message_batch_embed_contents = { .name = "BatchEmbedContentsRequest", .fields = batch_fields };
// clang-format on
