package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// PutDraft keeps what a session works on and has not saved; there is one of each name.
func (s *Store) PutDraft(ctx context.Context, id, name string, draft any) error {
	content, err := json.Marshal(draft)
	if err != nil {
		return fmt.Errorf("keep the draft %s: %w", name, err)
	}
	_, err = s.Pool.Exec(ctx, `insert into web_drafts (session, name, content) values ($1, $2, $3) on conflict (session, name) do update set content = excluded.content`,
		digest(id), name, content)
	if err != nil {
		return fmt.Errorf("keep the draft %s: %w", name, err)
	}
	return nil
}

// Draft reads what PutDraft kept into draft; false when there is none.
func (s *Store) Draft(ctx context.Context, id, name string, draft any) (bool, error) {
	var content []byte
	err := s.Pool.QueryRow(ctx, `select content from web_drafts where session = $1 and name = $2`, digest(id), name).Scan(&content)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the draft %s: %w", name, err)
	}
	return true, json.Unmarshal(content, draft)
}

// DropDraft throws it away.
func (s *Store) DropDraft(ctx context.Context, id, name string) error {
	if _, err := s.Pool.Exec(ctx, `delete from web_drafts where session = $1 and name = $2`, digest(id), name); err != nil {
		return fmt.Errorf("throw away the draft %s: %w", name, err)
	}
	return nil
}
