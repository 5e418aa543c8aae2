/* The persona's knowledge as tables, and the filling of numbers from the conversation into its sentences.
 * Called by persona.c and generate.c. Prices and vendors are invented. */
#include "tests/gemini-sim/phrases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// clang-format off
static const struct room_plan plans[] = {
	{ .kind = "kitchen",
	  .tasks = {
		{ "Measure the kitchen and photograph every wall", "Walls, niches, window sill heights, and where water, drain, gas and sockets are today.", "high" },
		{ "Decide on the kitchen layout", "Compare a single line, an L and a galley; keep the distances between hob, sink and fridge short.", "high" },
		{ "Have the electrics and water connections checked", "An electrician confirms the hob circuit and socket plan before any wall is closed.", "high" },
		{ "Get three quotes for cabinets and worktop", "Same plan to each vendor, delivery and fitting included, so that the prices compare.", "medium" },
		{ "Choose floor and splashback tiles", "Take samples home and look at them in daylight; order {tiles} for the floor.", "low" } },
	  .products = {
		{ "Nordholm Basic cabinet line, 3.2 m", "cabinets", "Nordholm Kitchens", "https://example.com/nordholm-basic", 4200, 0, "Solid carcasses, soft-close drawers and a ten-year guarantee, without the price of a studio kitchen." },
		{ "Induction hob Calora 60", "appliances", "Calora", "https://example.com/calora-60", 549, 0, "Four zones on a normal kitchen circuit, so the wiring stays simple." } },
	  .split = "A usual split for a kitchen is about 45 % for cabinets and worktop ({45%}), 20 % for appliances ({20%}), 20 % for electrician, plumber and fitting ({20%}), and 15 % kept back for surprises ({15%}).",
	  .question = "Would you like to keep the sink and the hob where they are, or are you open to moving them? That decides most of the plumbing cost." },
	{ .kind = "bathroom",
	  .tasks = {
		{ "Measure the bathroom and find the pipes", "Note the drain position, the pipe runs and the height of the floor build-up.", "high" },
		{ "Check walls and floor for moisture", "A meter costs little; damp behind old tiles changes the whole plan.", "high" },
		{ "Plan waterproofing and ventilation", "Sealing of the shower area and an extractor fan of at least 60 m³/h.", "high" },
		{ "Get quotes from two plumbers", "Ask for fittings, waterproofing and disposal as separate lines.", "medium" },
		{ "Choose tiles and sanitary ware", "Order {tiles} of floor tiles and keep one box for repairs.", "low" } },
	  .products = {
		{ "Porcelain tile Terra Grigio 60 × 60", "tiles", "Cerama", "https://example.com/terra-grigio", 32, 1.1, "Slip class R10, easy to clean, and large enough to keep the number of joints small." },
		{ "Walk-in shower set Riva 120", "sanitary", "AquaForm", "https://example.com/riva-120", 890, 0, "A low tray with glass screen that also works later in life." } },
	  .split = "In a bathroom the trades weigh most: about 40 % for plumber and tiler ({40%}), 30 % for sanitary ware and tiles ({30%}), 15 % for electrics and ventilation ({15%}), and 15 % in reserve ({15%}).",
	  .question = "Do you want a bathtub, a walk-in shower, or both?" },
	{ .kind = "bedroom",
	  .tasks = {
		{ "Measure the {room} and check the sockets", "Bed position first, then sockets and switches on both sides of it.", "medium" },
		{ "Repair and fill the walls", "Cracks, old plugs and loose plaster before any paint.", "medium" },
		{ "Choose floor and wall colour", "Warm, low-emission materials; about {paint} of paint for two coats.", "low" },
		{ "Plan built-in storage", "A wardrobe to the ceiling uses the wall best.", "low" } },
	  .products = {
		{ "Oak parquet Hallen, oiled", "flooring", "Forest & Floor", "https://example.com/oak-hallen", 48, 1.08, "Warm underfoot, can be sanded twice, and needs no threshold to the hallway." },
		{ "Mineral wall paint Calm White 10 l", "paint", "Kalkhaus", "https://example.com/calm-white", 79, 0, "No solvents and breathable, which suits a room people sleep in." } },
	  .split = "For a bedroom, plan about 45 % for the floor ({45%}), 20 % for walls and paint ({20%}), 25 % for storage ({25%}) and 10 % in reserve ({10%}).",
	  .question = "Is it mostly about looks and storage, or also about noise and insulation?" },
	{ .kind = "living_room",
	  .tasks = {
		{ "Measure the living room and its windows", "Also where the sun comes from and where radiators stand.", "medium" },
		{ "Make a lighting and socket plan", "Three circuits of light and network at the desk and the screen.", "high" },
		{ "Decide whether the floor is renovated or replaced", "Old parquet can often be sanded for a third of the price of a new floor.", "high" },
		{ "Choose wall colours and order samples", "About {paint} of paint for two coats on {walls} of wall.", "low" } },
	  .products = {
		{ "Oak parquet Hallen, oiled", "flooring", "Forest & Floor", "https://example.com/oak-hallen", 48, 1.08, "Carries a large room well and can be sanded twice." },
		{ "Dimmable track light Linea, 2 m", "lighting", "Lumo", "https://example.com/linea-2m", 189, 0, "One ceiling outlet is enough for the whole length." } },
	  .split = "For a living room, about 45 % goes into the floor ({45%}), 25 % into electrics and light ({25%}), 15 % into walls and paint ({15%}) and 15 % stays in reserve ({15%}).",
	  .question = "What is under the present floor, do you know? Screed, boards or old parquet make quite a difference." },
	{ .kind = NULL,
	  .tasks = {
		{ "Measure the {room}", "Length, width, height, openings, and photographs of every side.", "high" },
		{ "Check the {room} for damp, cracks and old wiring", "What is hidden costs most, so look before you plan.", "high" },
		{ "Write down what the {room} must be able to do", "Use, storage, light, heating: one page is enough for the first quotes.", "medium" },
		{ "Get two quotes for the {room}", "With separate lines for material, labour and disposal.", "medium" } },
	  .products = {
		{ "Interior paint Studio White 10 l", "paint", "Kalkhaus", "https://example.com/studio-white", 69, 0, "Covers well, so two coats are enough on most walls." },
		{ "Vinyl plank floor Click Oak", "flooring", "Forest & Floor", "https://example.com/click-oak", 29, 1.08, "Robust, quick to lay and forgiving on an uneven base." } },
	  .split = "As a rule of thumb, 40 % of the money is material ({40%}), 45 % labour ({45%}), and 15 % should stay in reserve ({15%}).",
	  .question = "What bothers you most about it today?" },
};

static const struct topic topics[] = {
	{ { "permit", "permission", "planning law", "building authority", "legal", "landlord", NULL },
	  { "For work that stays inside the flat (paint, floors, tiles, cabinets, sanitary ware) you normally need **no permit**. It is needed once the structure, the façade, the escape routes or the use of a room changes: load-bearing walls, new windows in another size, a dormer, or a bathroom where there was none.",
	    "In a flat you own, the association has to agree as soon as shared parts are touched: risers, façade, the screed above a neighbour. In a rented flat the landlord has to. Ask in writing, with a sketch; a good sketch answers most questions before they are asked.",
	    "Rules differ from place to place, so please confirm this with your local building office. The call takes ten minutes and costs nothing.", NULL },
	  "Are you planning to move or open up a wall?" },
	{ { "tile", "tiling", "grout", "splashback", NULL },
	  { "For the floor, take porcelain stoneware with slip class R10 (R9 is enough outside wet areas). For {area} order about {tiles}: that includes 10 % for cuts, and one box stays in the cellar for repairs.",
	    "Large formats such as 60 × 60 cm look calm and have few joints, but they need a flat base: not more than 2 mm under a two-metre level. On walls, 30 × 60 cm is easier to lay. A grout one shade darker than the tile forgives much.",
	    "As a price guide: decent tiles cost {sym}25–45 per m², laying them {sym}50–80 per m², and preparing a bad base comes on top.", NULL },
	  "Should the old tiles come out, or may we tile over them? “Tile on tile” works where the old ones are firm." },
	{ { "paint", "colour", "color", "wall finish", "wallpaper", NULL },
	  { "For {area} of floor you have roughly {walls} of wall. With two coats you need about {paint} of paint; one litre covers around 8 m² per coat.",
	    "Prepare first: fill, sand, and prime absorbent plaster. In kitchens and bathrooms take a wet-scrub class 1 or 2 paint, elsewhere class 3 is fine. Mineral paints breathe and keep mould away.",
	    "Try the colour on an A3 card and look at it in the morning and in the evening. Light colours make a room larger, and a darker short wall makes a long room look better proportioned.", NULL },
	  "Which direction do the windows face? That decides whether a colour looks warm or cold." },
	{ { "how long", "take", "duration", "schedule", "weeks", "timeline", "when can", "dry", NULL },
	  { "For {room} of {area} I would plan about **five to seven weeks** from the first hammer to moving back in: one week for removal, one to two for electrics and plumbing, one to two for plaster and screed to dry, one for tiles and floor, one for paint and fitting.",
	    "Delivery times are often longer than the work itself. Cabinets need six to ten weeks, windows eight to twelve, special tiles four. Order these before you agree on dates with the trades.",
	    "Screed is the usual surprise: cement screed wants about one week per centimetre up to 4 cm, and longer above that. Measure the rest moisture before you lay anything on it.", NULL },
	  "Do you have a date by which it has to be finished?" },
	{ { "cost", "price", "how much", "expensive", "budget", "afford", "money", NULL },
	  { "{each} Simple work costs {sym}400–700 per m², a solid standard {sym}800–1,300, and kitchens and bathrooms lie above that because of the trades.",
	    "A reasonable division: 40 % material ({40%}), 45 % labour ({45%}), and 15 % in reserve ({15%}). Spend the reserve only on what you find behind the wall, not on nicer taps.",
	    "You save most by doing removal, painting and disposal yourself, and by leaving water and drains where they are. Saving on waterproofing, electrics and the base under the floor is never worth it.", NULL },
	  "Shall I break the budget down by trade for you?" },
	{ { "electric", "socket", "wiring", "fuse", "switch", NULL },
	  { "Electrics belong to an electrician, but the plan is yours. Walk through a normal day and mark where you need power and light. A kitchen wants at least ten sockets and its own circuits for hob, oven and dishwasher.",
	    "In houses from before 1980 look for two-wire or aluminium cable and a missing residual-current breaker. If you open walls anyway, renew the lines now; it will never be cheaper.", NULL },
	  "How old is the wiring, and is there a residual-current device in the board?" },
	{ { "plumb", "pipe", "drain", "water pressure", "leak", NULL },
	  { "Keep the drain where it is if you can: it needs 1–2 cm of fall per metre, and that is what makes moving a sink or a toilet expensive. Water pipes are flexible and easier to move.",
	    "If pipes are galvanised steel or lead, replace them together with the surface above. Have the new lines pressure-tested and photographed before the wall is closed.", NULL },
	  "Do you know what your pipes are made of?" },
	{ { "floor", "parquet", "laminate", "vinyl", "screed", NULL },
	  { "For {area} order about {tiles} of flooring, cuts included. Parquet is warm and can be sanded, vinyl is quiet and robust, tiles suit wet rooms and floor heating.",
	    "What lies beneath decides: check that the base is level (3 mm over two metres), dry and firm. Plan the height too, as a door that no longer closes is an annoying surprise.", NULL },
	  "Do you have, or want, underfloor heating?" },
	{ { "insulat", "energy", "draught", "cold wall", "heat loss", NULL },
	  { "Start where it costs least: seal windows and doors, insulate the top ceiling and the cellar ceiling. These pay for themselves in five to eight years.",
	    "Insulating from inside is possible but unforgiving: without a continuous vapour layer moisture collects behind it. Let an energy adviser calculate it; grants often cover half of the fee.", NULL },
	  "Which year was the house built?" },
	{ { "ventilat", "mould", "mold", "damp", "moisture", "humid", NULL },
	  { "Damp has one of three causes: water from outside, a leak, or room air that condenses on a cold surface. Find out which before you treat it. A hygrometer over two weeks tells a lot: more than 60 % for days means you must ventilate or heat more.",
	    "Mould on less than half a square metre you can remove yourself with alcohol and a mask. More than that, or coming back, is a job for a specialist.", NULL },
	  "Where exactly is it, and is it worse in winter?" },
	{ { "contractor", "tradesman", "craftsman", "quote", "builder", "hire", NULL },
	  { "Ask three firms for a quote on the same written description, with photographs. Separate lines for material, labour, travel and disposal let you compare, and they also show what was forgotten.",
	    "Look at references of the last year, ask for insurance, and never pay more than 10–30 % in advance. Agree on a payment plan tied to finished steps, and on a hand-over with a written list of defects.", NULL },
	  "Would you like me to write the description for the request for quotes?" },
	{ { "myself", "diy", "do it yourself", "own hands", NULL },
	  { "Good jobs to do yourself: removal, disposal, filling and sanding, painting, laying click floors, assembling furniture. They make up about a third of the labour cost.",
	    "Leave to professionals: gas, electrics, waterproofing, load-bearing walls, and anything your insurance would ask about.", NULL },
	  "How many weekends could you put in?" },
	{ { "asbestos", "lead paint", "hazard", "toxic", NULL },
	  { "In houses built or renovated before about 1995, vinyl tiles, black adhesive, pipe lagging, fibre cement and some fillers can contain **asbestos**. Do not drill, sand or break them. A laboratory tests a sample for {sym}40–80.",
	    "If it is confirmed, removal is for a licensed firm. Materials that are intact and stay where they are can often be covered instead.", NULL },
	  "Which year is the part from that worries you?" },
	{ { "window", "door", NULL },
	  { "New windows make sense when the old ones have single glazing or the frames are gone; otherwise new seals and adjusted fittings bring half the effect for a tenth of the money.",
	    "Plan windows and ventilation together: tight windows in a damp room bring mould. Measure the opening, not the old frame.", NULL },
	  "How many windows is it about, and what are the frames made of?" },
	{ { "light", "lamp", "lighting", NULL },
	  { "Plan three layers: general light (about 150 lm per m² in living rooms, 300 in kitchens), task light where you work, and something warm for the evening. For {area} that means a strong base that can be dimmed.",
	    "Take 2,700 K in living rooms and bedrooms, 3,000–4,000 K over the worktop, and a colour rendering (CRI) above 90 near mirrors and food.", NULL },
	  "Is there one ceiling outlet, or can new cables be laid?" },
	{ { "heating", "radiator", "heat pump", "boiler", NULL },
	  { "Before you replace radiators, have the heat load of the room calculated; rule of thumb is 50–100 W per m², so for {area} between half and one and a half kilowatts.",
	    "Floor heating needs 3–8 cm of height or milled channels, works well with a heat pump and leaves the walls free. Do it when the floor is open anyway.", NULL },
	  "What heats the house today?" },
	{ { "order of work", "first", "start", "begin", "sequence", "which order", NULL },
	  { "A good order is: measure and decide, order what takes long, remove, rough work on electrics and plumbing, plaster and screed, let it dry, tiles, paint, floor, fitting, and a last check with a list of defects.",
	    "Two rules save most trouble: nothing is closed before it was photographed and tested, and dirty work is finished in all rooms before clean work starts in one.", NULL },
	  "Will you live there during the work?" },
	{ { "layout", "design", "style", "idea", "inspiration", NULL },
	  { "For {area} I would first fix the ways people walk, then the fixed things, then the loose ones. Leave 90 cm for a passage and 120 cm between two kitchen lines.",
	    "Choose one material that runs through everything, one colour for accents, and keep the rest calm. Clear lines, warm wood and a matt surface age well; a “feature” in every corner does not.", NULL },
	  "Would you rather have it calm and bright, or warm and rich?" },
};
// clang-format on

const struct room_plan *phrases_plan(const char *kind)
{
	size_t i = 0;
	while (plans[i].kind != NULL && strcmp(plans[i].kind, kind) != 0)
		i++;
	return &plans[i];
}

const struct topic *phrases_topic(const char *text)
{
	const struct topic *best = NULL;
	int best_score = 0;
	for (size_t t = 0; t < sizeof topics / sizeof topics[0]; t++) {
		int score = 0;
		for (size_t w = 0; topics[t].words[w] != NULL; w++) {
			const char *at = find_no_case(text, topics[t].words[w]);
			bool begins = at != NULL && (at == text || at[-1] == ' ' || at[-1] == '-' || at[-1] == '\n');
			score += begins ? (int)strlen(topics[t].words[w]) : 0;
		}
		if (score > best_score) {
			best_score = score;
			best = &topics[t];
		}
	}
	return best;
}

static double phrases_area(const struct facts *facts)
{
	const struct fact_room *room = facts_focus(facts);
	if (room == NULL)
		return 12;
	return room->measures.area_m2 > 0 ? room->measures.area_m2 : room->kind->area_m2;
}

static double phrases_budget(const struct facts *facts)
{
	const struct fact_room *room = facts_focus(facts);
	return room == NULL ? facts->budget.amount : facts_room_budget(facts, room);
}

/* What the budget means for each square metre, if both are known. */
static void fill_each(const struct facts *facts, struct text *out)
{
	double budget = phrases_budget(facts);
	if (budget <= 0) {
		text_add(out, "For ");
		facts_area(phrases_area(facts), out);
		text_add(out, " the range is wide, and most of it depends on the trades.");
		return;
	}
	text_add(out, facts->room_count > 1 ? "With about " : "With ");
	facts_money(facts, budget, out);
	if (facts->room_count > 1) {
		text_add(out, " of your ");
		facts_money(facts, facts->budget.amount, out);
	}
	text_add(out, " for ");
	facts_area(phrases_area(facts), out);
	text_add(out, " you have roughly ");
	facts_money(facts, round(budget / phrases_area(facts)), out);
	text_add(out, " per square metre.");
}

static bool fill_one(const char *name, const struct facts *facts, const char *room, struct text *out)
{
	double area = phrases_area(facts);
	double walls = 4 * sqrt(area) * 2.5;
	int share = 0;
	char percent = '\0';
	if (strcmp(name, "room") == 0)
		text_add(out, room);
	else if (strcmp(name, "area") == 0)
		facts_area(area, out);
	else if (strcmp(name, "budget") == 0 && facts->budget.amount > 0)
		facts_money(facts, facts->budget.amount, out);
	else if (strcmp(name, "budget") == 0)
		text_add(out, "your budget");
	else if (strcmp(name, "tiles") == 0)
		text_format(out, "%.4g m²", ceil(area * 1.1 * 2) / 2);
	else if (strcmp(name, "walls") == 0)
		text_format(out, "%.0f m²", round(walls));
	else if (strcmp(name, "paint") == 0)
		text_format(out, "%.0f litres", ceil(walls * 2 / 8));
	else if (strcmp(name, "sym") == 0)
		text_add(out, facts->budget.symbol);
	else if (strcmp(name, "each") == 0)
		fill_each(facts, out);
	else if (sscanf(name, "%d%c", &share, &percent) == 2 && percent == '%')
		facts_money(facts, round(phrases_budget(facts) * share / 100), out);
	else
		return false;
	return true;
}

/* Shares of a budget nobody has named are left out together with their brackets: " ({45%})". */
static size_t unknown_share(const char *template, const struct facts *facts)
{
	if (facts->budget.amount > 0 || strncmp(template, " ({", 3) != 0)
		return 0;
	size_t width = strcspn(template, ")");
	return width > 3 && template[width] == ')' && template[width - 2] == '%' ? width + 1 : 0;
}

void phrases_fill(const char *template, const struct facts *facts, const char *room, struct text *out)
{
	while (*template != '\0') {
		char name[16];
		size_t skipped = unknown_share(template, facts);
		size_t width = strcspn(template, "}");
		if (skipped > 0) {
			template += skipped;
		} else if (*template == '{' && template[width] == '}') {
			snprintf(name, sizeof name, "%.*s", (int)(width - 1), template + 1);
			if (!fill_one(name, facts, room, out))
				text_append(out, template, width + 1);
			template += width + 1;
		} else {
			text_append(out, template ++, 1);
		}
	}
}

void phrases_words(int words, uint64_t seed, struct text *out)
{
	static const char *const sentences[] = {
		"Measure twice before you order anything that cannot be returned.",
		"The café corner by the window gets light until four o’clock, so keep it free.",
		"A floor of 12 m² needs about 13.2 m² of material once the cuts are counted.",
		"Old plaster sounds hollow where it has come loose, and loose plaster has to go.",
		"Ask the electrician for a plan with every socket and switch on it. 💡",
		"“Good enough” is fine for a cellar wall, but not for the sealing of a shower.",
		"Let the screed dry, measure the moisture, and only then lay the parquet.",
		"Keep fifteen per cent of the money back; every wall hides something.",
		"Für Fenster gilt: Maß nehmen, prüfen, bestellen.",
		"Two coats of a good paint beat three coats of a cheap one. 🎨",
	};
	const size_t count = sizeof sentences / sizeof sentences[0];
	size_t sentence = seed % count;
	const char *at = sentences[sentence];
	for (int word = 0; word < words; word++) {
		if (*at == '\0') {
			sentence = (sentence + 1) % count;
			at = sentences[sentence];
		}
		size_t width = strcspn(at, " ");
		if (word > 0)
			text_add(out, word % 60 == 0 ? "\n\n" : " ");
		text_append(out, at, width);
		at += width;
		at += *at == ' ';
	}
}
