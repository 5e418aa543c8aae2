/* screen.c: termios and a few ANSI sequences: the alternate screen, so that what was there before comes back; each frame is one write that overwrites the
 * last one line by line, so that nothing flickers. Signals come through a descriptor, so that the terminal is always given back. Called by top.c alone. */
#include "config.h"
#include "ctl/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "shared/buffer.h"

static struct {
	struct termios before; /* of the terminal, to be restored */
	sigset_t mask;         /* of the process, to be restored */
	int signals;           /* signalfd */
	bool is_ours;          /* the terminal is ours now */
} screen = { .signals = -1 };

static void write_all(struct text bytes)
{
	while (bytes.length > 0) {
		ssize_t written = write(STDOUT_FILENO, bytes.bytes, bytes.length);

		if (written < 0 && errno != EINTR)
			return;
		if (written > 0)
			bytes = text_span(bytes.bytes + written, bytes.length - (size_t)written);
	}
}

static void take(void)
{
	struct termios raw = screen.before;

	/* Keys at once and unseen; Ctrl-C and Ctrl-Z stay signals. */
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	write_all(TEXT("\033[?1049h\033[?25l\033[H\033[2J"));
	screen.is_ours = true;
}

static void give_back(void)
{
	if (!screen.is_ours)
		return;
	screen.is_ours = false;
	write_all(TEXT("\033[0m\033[?25h\033[?1049l"));
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &screen.before);
}

bool screen_open(void)
{
	static const int caught[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT };
	sigset_t set;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &screen.before) != 0)
		return false;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++)
		sigaddset(&set, caught[i]);
	(void)sigprocmask(SIG_BLOCK, &set, &screen.mask);
	screen.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (screen.signals < 0) {
		(void)sigprocmask(SIG_SETMASK, &screen.mask, NULL);
		return false;
	}
	take();
	return true;
}

void screen_close(void)
{
	give_back();
	if (screen.signals < 0)
		return;
	close(screen.signals);
	screen.signals = -1;
	(void)sigprocmask(SIG_SETMASK, &screen.mask, NULL);
}

/* ---- drawing ---------------------------------------------------------------------------------------------------- */

/* Bytes of the line's beginning that take at most `columns`; escape sequences take none. */
static size_t cut(struct text line, int columns)
{
	bool is_escape = false;
	size_t i = 0;

	for (; i < line.length; i++) {
		unsigned char c = (unsigned char)line.bytes[i];

		if (c == 0x1b)
			is_escape = true;
		else if (is_escape)
			is_escape = c != 'm';
		else if ((c & 0xc0) != 0x80 && --columns < 0)
			break;
	}
	return i;
}

void screen_draw(struct text lines)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	struct buffer frame;

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	if (size.ws_row == 0 || size.ws_col == 0)
		size = (struct winsize) { .ws_row = 24, .ws_col = 80 };
	buffer_init(&frame);
	buffer_append_string(&frame, "\033[H");
	for (int row = 0; row < size.ws_row && lines.length > 0; row++) {
		const char *end = memchr(lines.bytes, '\n', lines.length);
		struct text line = text_span(lines.bytes, end ? (size_t)(end - lines.bytes) : lines.length);

		buffer_append_string(&frame, row > 0 ? "\r\n" : "");
		buffer_append(&frame, line.bytes, cut(line, size.ws_col));
		buffer_append_string(&frame, "\033[0m\033[K");
		lines.bytes += line.length + (end != NULL);
		lines.length -= line.length + (end != NULL);
	}
	buffer_append_string(&frame, "\033[J");
	write_all(buffer_text(&frame));
	buffer_fini(&frame);
}

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

static enum screen_event on_signal(void)
{
	struct signalfd_siginfo info;

	if (read(screen.signals, &info, sizeof info) != sizeof info)
		return SCREEN_DRAW;
	switch (info.ssi_signo) {
	case SIGTSTP:
		give_back();
		(void)kill(getpid(), SIGSTOP);
		take();
		return SCREEN_DRAW;
	case SIGWINCH:
	case SIGCONT: return SCREEN_DRAW;
	default: return SCREEN_QUIT;
	}
}

static enum screen_event on_key(void)
{
	char key;
	ssize_t got = read(STDIN_FILENO, &key, 1);

	if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
		return SCREEN_QUIT;
	return got == 1 && (key == 'q' || key == 'Q') ? SCREEN_QUIT : SCREEN_DRAW;
}

enum screen_event screen_wait(int timeout_ms)
{
	struct pollfd waits[2] = { { .fd = screen.signals, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN } };
	int count = poll(waits, 2, timeout_ms);

	if (count < 0)
		return errno == EINTR ? SCREEN_DRAW : SCREEN_QUIT;
	if (count == 0)
		return SCREEN_TIME;
	return waits[0].revents != 0 ? on_signal() : on_key();
}
