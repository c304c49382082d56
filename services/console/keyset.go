package console

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// RotateKeyset adds a new key to a keyset file and makes it the one that seals. What older keys sealed still opens.
// Then every secret is sealed anew with ResealSecrets, and RetireKeys drops the older keys.
func RotateKeyset(path string) error {
	return changeKeyset(path, func(m *keyset.Manager, _ *keyset.Handle) error {
		id, err := m.Add(aead.AES256GCMKeyTemplate())
		if err != nil {
			return err
		}
		return m.SetPrimary(id)
	})
}

// RetireKeys drops every key but the one that seals from a keyset file, and says how many. What they sealed can never
// be opened again.
func RetireKeys(path string) (retired int, err error) {
	err = changeKeyset(path, func(m *keyset.Manager, h *keyset.Handle) error {
		for _, k := range h.KeysetInfo().GetKeyInfo() {
			if k.GetKeyId() == h.KeysetInfo().GetPrimaryKeyId() {
				continue
			}
			if err := m.Delete(k.GetKeyId()); err != nil {
				return err
			}
			retired++
		}
		return nil
	})
	return retired, err
}

func changeKeyset(path string, change func(*keyset.Manager, *keyset.Handle) error) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("keyset for secrets: %w", err)
	}
	// Causes are dropped: a parser's error may quote the key.
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(content)))
	if err != nil {
		return fmt.Errorf("keyset %s: is not a Tink keyset in JSON", path)
	}
	manager := keyset.NewManagerFromHandle(handle)
	if err := change(manager, handle); err != nil {
		return fmt.Errorf("keyset %s: %w", path, err)
	}
	changed, err := manager.Handle()
	if err != nil {
		return errors.New("keyset " + path + ": cannot be put together again; it was left as it is")
	}
	return placeKeyset(path, changed, os.Rename)
}
