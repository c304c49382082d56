package ctl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	accessv1 "seatline.dev/proto/seatline/access/v1"
)

// ConsoleAccess is the command `console`: who may enter the web console.
type ConsoleAccess struct {
	Client
	SignIn        ConsoleSignIn        `cmd:"" name:"sign-in" help:"Print a link that signs in to the web console once; for one that listens on this machine only."`
	SetPassword   ConsoleSetPassword   `cmd:"" name:"set-password" help:"Make a local account of the web console, or change its password and role. Asks for the password, or reads it from standard input."`
	Accounts      ConsoleAccounts      `cmd:"" help:"List local accounts."`
	DeleteAccount ConsoleDeleteAccount `cmd:"" name:"delete-account" help:"Delete a local account; its sessions end."`
	Sessions      ConsoleSessions      `cmd:"" help:"List who is signed in."`
	SignOut       ConsoleSignOut       `cmd:"" name:"sign-out" help:"End the sessions of a person, or of everybody."`
}

func (c *Client) access(ctx context.Context, do func(context.Context, accessv1.AccessServiceClient) error) error {
	return callOf(ctx, c, Console, accessv1.NewAccessServiceClient, do)
}

func personRole(word string) accessv1.Role {
	if word == "viewer" {
		return accessv1.Role_ROLE_VIEWER
	}
	return accessv1.Role_ROLE_OPERATOR
}

// ConsoleSignIn is `console sign-in`.
type ConsoleSignIn struct {
	Name string `default:"local" help:"Name for the change log."`
	Role string `enum:"viewer,operator" default:"operator" help:"${enum}."`
}

func (cmd *ConsoleSignIn) Run(ctx context.Context, c *Client) error {
	return c.access(ctx, func(ctx context.Context, client accessv1.AccessServiceClient) error {
		link, err := client.CreateSignInLink(ctx, &accessv1.CreateSignInLinkRequest{Name: cmd.Name, Role: personRole(cmd.Role)})
		if err != nil {
			return err
		}
		return done(c, link, "%s\nIt signs in once, until %s.", link.GetUrl(), when(link.GetExpireTime()))
	})
}

// ConsoleSetPassword is `console set-password`.
type ConsoleSetPassword struct {
	Name string `arg:"" optional:"" default:"admin" help:"Account; a-z, 0-9, '.', '_', '-' and '@'."`
	Role string `enum:"viewer,operator" default:"operator" help:"${enum}."`
}

func (cmd *ConsoleSetPassword) Run(ctx context.Context, c *Client) error {
	password, err := readPassword()
	if err != nil {
		return err
	}
	return c.access(ctx, func(ctx context.Context, client accessv1.AccessServiceClient) error {
		account, err := client.SetPassword(ctx, &accessv1.SetPasswordRequest{Name: cmd.Name, Role: personRole(cmd.Role), Password: password.Reveal()})
		if err != nil {
			return err
		}
		return done(c, account, "%s may sign in to the web console with this password, as %s.", account.GetName(), word(account.GetRole()))
	})
}

// readPassword asks twice without showing it, or takes the first line of what is piped in.
func readPassword() (telemetry.Secret, error) {
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", &rpc.Exit{Code: rpc.ExitUsage, Err: errors.New("no password came on standard input: pipe it in, or run the command in a terminal to be asked")}
		}
		return telemetry.Secret(line), nil
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(os.Stderr, prompt)
		text, err := term.ReadPassword(in)
		fmt.Fprintln(os.Stderr)
		return string(text), err
	}
	first, err := ask("Password (12 characters or more): ")
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	second, err := ask("Once more: ")
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if first != second {
		return "", &rpc.Exit{Code: rpc.ExitUsage, Err: errors.New("the two differ: nothing was changed; try again")}
	}
	return telemetry.Secret(first), nil
}

// ConsoleAccounts is `console accounts`.
type ConsoleAccounts struct{}

func (cmd *ConsoleAccounts) Run(ctx context.Context, c *Client) error {
	return c.access(ctx, func(ctx context.Context, client accessv1.AccessServiceClient) error {
		resp, err := client.ListAccounts(ctx, &accessv1.ListAccountsRequest{})
		if err != nil {
			return err
		}
		return printList(c, resp.GetAccounts(), false,
			column[*accessv1.Account]{"name", (*accessv1.Account).GetName},
			column[*accessv1.Account]{"role", func(a *accessv1.Account) string { return word(a.GetRole()) }},
			column[*accessv1.Account]{"password set", func(a *accessv1.Account) string { return when(a.GetUpdateTime()) }},
		)
	})
}

// ConsoleDeleteAccount is `console delete-account`.
type ConsoleDeleteAccount struct {
	Name string `arg:"" help:"Account."`
}

func (cmd *ConsoleDeleteAccount) Run(ctx context.Context, c *Client) error {
	return c.access(ctx, func(ctx context.Context, client accessv1.AccessServiceClient) error {
		resp, err := client.DeleteAccount(ctx, &accessv1.DeleteAccountRequest{Name: cmd.Name})
		if err != nil {
			return err
		}
		return done(c, resp, "There is no account %s any more.", cmd.Name)
	})
}

// ConsoleSessions is `console sessions`.
type ConsoleSessions struct{}

func (cmd *ConsoleSessions) Run(ctx context.Context, c *Client) error {
	return c.access(ctx, func(ctx context.Context, client accessv1.AccessServiceClient) error {
		resp, err := client.ListSessions(ctx, &accessv1.ListSessionsRequest{})
		if err != nil {
			return err
		}
		return printList(c, resp.GetSessions(), false,
			column[*accessv1.Session]{"name", (*accessv1.Session).GetName},
			column[*accessv1.Session]{"role", func(x *accessv1.Session) string { return word(x.GetRole()) }},
			column[*accessv1.Session]{"by", (*accessv1.Session).GetMethod},
			column[*accessv1.Session]{"from", (*accessv1.Session).GetAddress},
			column[*accessv1.Session]{"since", func(x *accessv1.Session) string { return when(x.GetCreateTime()) }},
			column[*accessv1.Session]{"last used", func(x *accessv1.Session) string { return when(x.GetLastTime()) }},
			column[*accessv1.Session]{"until", func(x *accessv1.Session) string { return when(x.GetExpireTime()) }},
		)
	})
}

// ConsoleSignOut is `console sign-out`.
type ConsoleSignOut struct {
	Name string `arg:"" optional:"" help:"Person, as listed."`
	All  bool   `help:"Everybody."`
}

func (cmd *ConsoleSignOut) Run(ctx context.Context, c *Client) error {
	return c.access(ctx, func(ctx context.Context, client accessv1.AccessServiceClient) error {
		resp, err := client.EndSessions(ctx, &accessv1.EndSessionsRequest{Name: cmd.Name, All: cmd.All})
		if err != nil {
			return err
		}
		return done(c, resp, "%s ended.", plural(int(resp.GetEnded()), "session", "sessions"))
	})
}
