/* screen.h: the whole terminal for `top`: taken, redrawn without flicker, and given back as it was, whatever ends the program. */
#ifndef RENOVATIOND_CTL_SCREEN_H
#define RENOVATIOND_CTL_SCREEN_H

#include <stdbool.h>

#include "shared/text.h"

enum screen_event {
	SCREEN_TIME, /* the interval is over */
	SCREEN_DRAW, /* the size changed, or a key asks for a new page */
	SCREEN_QUIT  /* q, Ctrl-C, TERM, HUP, or the terminal is gone */
};

/* Takes the terminal of standard input and output; false when it is none. */
bool screen_open(void);
void screen_close(void);
/* Draws lines from the top, cut at the terminal's width; what does not fit below is left out. */
void screen_draw(struct text lines);
/* Ctrl-Z is handled inside: the terminal is given back while we are stopped. */
enum screen_event screen_wait(int timeout_ms);

#endif
